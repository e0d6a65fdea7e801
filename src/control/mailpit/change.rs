//! Changes of read states, and deletion, of messages by their ids or by a search.

use axum::body::Bytes;
use axum::extract::{Query, State};
use serde::Deserialize;

use super::list::ListQuery;
use super::{Answer, AppState, Failure, catalogue, done, read_json};
use crate::catalogue::{Catalogue, Filter, Window};
use crate::host::RunningWorld;
use crate::mta::Selector;

/// Messages that are selected at once.
const BATCH: usize = 1000;

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
#[schema(rename_all = "PascalCase")]
struct Marks {
    read: bool,
    #[schema(rename = "IDs")]
    ids: Option<Vec<String>>,
    search: Option<String>,
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default)]
struct Deletion {
    #[schema(rename = "IDs")]
    ids: Option<Vec<String>>,
}

/// The numbers of messages by their ids; unknown ones are left out.
pub(super) fn numbers_of(catalogue: &Catalogue, ids: &[String]) -> Answer<Vec<i64>> {
    let mut numbers = Vec::new();
    for id in ids.iter().filter_map(|id| id.parse().ok()) {
        numbers.extend(catalogue.find(id)?.map(|entry| entry.number));
    }
    Ok(numbers)
}

/// An empty body is an empty request; one that cannot be read is an error, so that it never means all messages.
fn read_body<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> Answer<T> {
    match body.trim_ascii() {
        [] => Ok(T::default()),
        body => read_json(body).map_err(|error| Failure::invalid(format!("invalid JSON: {error}"))),
    }
}

/// Marks messages as read or unread: those with the ids, or that match, or all.
#[utoipa::path(
    put,
    path = "/api/v1/messages",
    tag = "messages",
    params(ListQuery),
    request_body = Marks,
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn mark(State(running): AppState, Query(query): Query<ListQuery>, body: Bytes) -> Answer {
    let Marks { read, ids, search } = read_body(&body)?;
    let catalogue = catalogue(&running)?;
    let (ids, search) = (ids.unwrap_or_default(), search.unwrap_or_default());
    if !ids.is_empty() && !search.is_empty() {
        return Err(Failure::invalid("you may specify either IDs or a search query, not both"));
    }
    if !ids.is_empty() {
        running.mailboxes.mark_entries(&numbers_of(catalogue, &ids)?, read).await?;
        return Ok(done());
    }
    let filter = query.filter(Some(&search))?;
    let mut below = i64::MAX;
    loop {
        let numbers = catalogue.numbers(&filter, Window { below, skip: 0, limit: BATCH }).await?;
        let Some(last) = numbers.last() else { return Ok(done()) };
        below = *last;
        running.mailboxes.mark_entries(&numbers, read).await?;
    }
}

/// Deletes the messages with the ids in the body; without ids, all of them, or those that `mailbox` and `before` select.
#[utoipa::path(
    delete,
    path = "/api/v1/messages",
    tag = "messages",
    params(ListQuery),
    request_body = Option<Deletion>,
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(super) async fn delete_by_ids(State(running): AppState, Query(query): Query<ListQuery>, body: Bytes) -> Answer {
    let Deletion { ids } = read_body(&body)?;
    match ids.filter(|ids| !ids.is_empty()) {
        Some(ids) => {
            let numbers = numbers_of(catalogue(&running)?, &ids)?;
            delete_entries(&running, &numbers, query.mailbox()?.as_deref()).await?;
        }
        None => delete_all(&running, &query.filter(None)?).await?,
    }
    Ok(done())
}

/// Deletes the messages that match.
#[utoipa::path(delete, path = "/api/v1/search", tag = "messages", params(ListQuery), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn delete_found(State(running): AppState, Query(query): Query<ListQuery>) -> Answer {
    let words = query.query.as_deref().filter(|words| !words.trim().is_empty());
    let words = words.ok_or_else(|| Failure::invalid("Error: no search query"))?;
    delete_all(&running, &query.filter(Some(words))?).await?;
    Ok(done())
}

/// Deletes those that match now; what arrives meanwhile stays.
async fn delete_all(running: &RunningWorld, filter: &Filter) -> Answer<()> {
    let catalogue = catalogue(running)?;
    let mut below = i64::MAX;
    loop {
        let numbers = catalogue.numbers(filter, Window { below, skip: 0, limit: BATCH }).await?;
        let Some(last) = numbers.last() else { return Ok(()) };
        below = *last;
        delete_entries(running, &numbers, filter.mailbox.as_deref()).await?;
    }
}

/// Deletes messages, or only the copies of one mailbox. Those that wait in a queue are deleted there, too; a copy that is on its
/// way to a mailbox at this moment is removed when it gets there.
pub(super) async fn delete_entries(running: &RunningWorld, numbers: &[i64], mailbox: Option<&str>) -> Answer<()> {
    let catalogue = catalogue(running)?;
    let mut waiting = Vec::new();
    if mailbox.is_none() && running.mtas.values().any(|mta| !mta.queue().is_idle()) {
        for number in numbers {
            waiting.extend(catalogue.entry(*number)?.map(|entry| entry.id));
        }
    }
    running.mailboxes.delete_entries(numbers, mailbox).await?;
    for mta in running.mtas.values().filter(|mta| !mta.queue().is_idle()) {
        for id in &waiting {
            mta.delete(Selector::Journey(*id)).await?;
        }
    }
    Ok(())
}
