//! Tags of messages: keywords of their copies.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::change::numbers_of;
use super::{Answer, AppState, Failure, catalogue, done, read_json};
use crate::catalogue::{Filter, Search, Window};
use crate::host::RunningWorld;

/// The longest tag, in characters.
const MAX_TAG_CHARS: usize = 100;
/// Messages that are changed at once.
const BATCH: usize = 1000;

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    #[schema(rename = "IDs")]
    ids: Vec<String>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(rename_all = "PascalCase")]
struct NewName {
    name: String,
}

/// The tags in use.
///
/// They are sorted.
#[utoipa::path(get, path = "/api/v1/tags", tag = "messages", responses((status = 200, body = Vec<String>)))]
pub(super) async fn list(State(running): AppState) -> Answer<Json<Vec<String>>> {
    Ok(Json(catalogue(&running)?.tags()?.into_iter().map(|(tag, _)| tag).collect()))
}

/// Replaces the tags of messages.
///
/// Unknown ids are left out; without tags, all tags of the messages are removed. Answers `ok`; 400 if a tag is invalid.
#[utoipa::path(put, path = "/api/v1/tags", tag = "messages", request_body = Tags, responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn set(State(running): AppState, body: Bytes) -> Answer {
    let Tags { tags, ids } = read_json(&body).map_err(|error| Failure::invalid(format!("invalid JSON: {error}")))?;
    let numbers = numbers_of(catalogue(&running)?, &ids)?;
    running.mailboxes.tag_entries(&numbers, &clean_all(&tags)?).await?;
    Ok(done())
}

/// Renames a tag.
///
/// For all messages that have it, in any case. Answers `ok`; 400 if the new name is invalid or that of another tag in
/// use, or if the tag is not in use.
#[utoipa::path(
    put,
    path = "/api/v1/tags/{tag}",
    tag = "messages",
    params(("tag" = String, Path, description = "The tag.")),
    request_body = NewName,
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn rename(State(running): AppState, Path(tag): Path<String>, body: Bytes) -> Answer {
    let NewName { name } = read_json(&body).map_err(|error| Failure::invalid(format!("invalid JSON: {error}")))?;
    let name = clean(&name)?;
    let known = catalogue(&running)?.tags()?;
    let has = |name: &str| known.iter().any(|(tag, _)| tag.eq_ignore_ascii_case(name));
    if !has(&tag) {
        return Err(Failure::invalid(format!("tag not found: {tag}")));
    }
    if has(&name) && !tag.eq_ignore_ascii_case(&name) {
        return Err(Failure::invalid(format!("tag already exists: {name}")));
    }
    replace(&running, &tag, Some(&name)).await?;
    Ok(done())
}

/// Removes a tag from all messages.
///
/// In any case. Answers `ok`, also if no message has it.
#[utoipa::path(
    delete,
    path = "/api/v1/tags/{tag}",
    tag = "messages",
    params(("tag" = String, Path, description = "The tag.")),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn delete(State(running): AppState, Path(tag): Path<String>) -> Answer {
    replace(&running, &tag, None).await?;
    Ok(done())
}

/// Renames a tag of all messages that have it, in any case of letters, to `name`; without `name`, removes the tag from
/// them.
async fn replace(running: &RunningWorld, tag: &str, name: Option<&str>) -> Answer<()> {
    let catalogue = catalogue(running)?;
    let filter = Filter { search: Search::tag(tag), ..Filter::default() };
    let mut below = i64::MAX;
    loop {
        let page = catalogue.page(&filter, Window { below, skip: 0, limit: BATCH }).await?;
        let Some(last) = page.entries.last() else { return Ok(()) };
        below = last.number;
        let mut by_tags: BTreeMap<Vec<String>, Vec<i64>> = BTreeMap::new();
        for entry in &page.entries {
            let others = entry.tags.iter().filter(|other| !other.eq_ignore_ascii_case(tag)).cloned();
            by_tags.entry(others.chain(name.map(str::to_owned)).collect()).or_default().push(entry.number);
        }
        for (tags, numbers) in by_tags {
            running.mailboxes.tag_entries(&numbers, &tags).await?;
        }
    }
}

/// Returns the tags of a request, each as [`clean`] makes it, sorted, without blank ones; of those that differ only in
/// their case, the last one. 400 if one is invalid.
pub(super) fn clean_all(tags: &[String]) -> Answer<Vec<String>> {
    let mut cleaned: BTreeMap<String, String> = BTreeMap::new();
    for tag in tags.iter().filter(|tag| !tag.trim().is_empty()) {
        let tag = clean(tag)?;
        cleaned.insert(tag.to_lowercase(), tag);
    }
    Ok(cleaned.into_values().collect())
}

/// Returns a tag in which every run of white space, and of characters other than ASCII letters, digits and `-_.@`, is
/// one space, without spaces at its ends. 400 if nothing is left, or more than [`MAX_TAG_CHARS`].
fn clean(tag: &str) -> Answer<String> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    let spaced: String = tag.chars().map(|letter| if allowed(letter) { letter } else { ' ' }).collect();
    let cleaned = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    match cleaned.len() {
        1..=MAX_TAG_CHARS => Ok(cleaned),
        _ => Err(Failure::invalid(format!("invalid tag name: {tag}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_cleaned_and_named_once() {
        let all = clean_all(&["Big (one)".to_owned(), "big one".to_owned(), " ".to_owned(), "a.b@c-d_e".to_owned()]);
        assert_eq!(all.unwrap(), ["a.b@c-d_e", "big one"]);
        assert!(clean("()").is_err() && clean(&"x".repeat(101)).is_err());
    }
}
