//! Changes of read states, moves and deletion, of messages by their ids or by a search. A journey goes with its message.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};

use super::list::ListQuery;
use super::{Answer, AppState, Failure, catalogue, done, read_json};
use crate::catalogue::{Catalogue, Filter, Window};
use crate::host::RunningWorld;
use crate::journey::JourneyFilter;
use crate::mda::CopyFilter;
use crate::mta::Selector;

/// Messages that are selected at once.
const BATCH: usize = 1000;
/// Journeys that are deleted by one commit.
const JOURNEY_BATCH: usize = 100;

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

/// Returns the numbers in the catalogue of the messages with these ids, in the order of the ids; unknown ids, and texts
/// that are none, are left out.
pub(super) fn numbers_of(catalogue: &Catalogue, ids: &[String]) -> Answer<Vec<i64>> {
    let mut numbers = Vec::new();
    for id in ids.iter().filter_map(|id| id.parse().ok()) {
        numbers.extend(catalogue.find(id)?.map(|entry| entry.number));
    }
    Ok(numbers)
}

/// Reads a JSON body, whatever the case of its keys. An empty body is the default of `T`; one that cannot be read is
/// 400, so that it never means all messages.
fn read_body<T: Default + serde::de::DeserializeOwned>(body: &[u8]) -> Answer<T> {
    match body.trim_ascii() {
        [] => Ok(T::default()),
        body => read_json(body).map_err(|error| Failure::invalid(format!("invalid JSON: {error}"))),
    }
}

/// Marks messages as read or unread: those with the ids, or that match, or all.
///
/// Unread, if the body has no `Read`. With `mailbox`, and perhaps its `folder`, only the copies there; a copy that
/// is still to come counts if the message goes to this mailbox alone, and no folder is given. With ids, the other
/// parameters have no effect, and unknown ids are left out. Answers `ok`; 400 if there are ids and a search.
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
    let which = query.copies(&running)?;
    if !ids.is_empty() {
        running.mailboxes.mark_entries(&numbers_of(catalogue, &ids)?, &which, read).await?;
        return Ok(done());
    }
    let filter = query.filter(&running, Some(&search))?;
    let mut below = i64::MAX;
    loop {
        let numbers = catalogue.numbers(&filter, Window { below, skip: 0, limit: BATCH }).await?;
        let Some(last) = numbers.last() else { return Ok(done()) };
        below = *last;
        running.mailboxes.mark_entries(&numbers, &which, read).await?;
    }
}

/// Where messages are moved.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(rename_all = "PascalCase")]
pub(super) struct Move {
    #[schema(rename = "IDs")]
    ids: Vec<String>,
    /// A folder, which is created if it does not exist.
    folder: String,
}

/// How many copies were moved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Moved {
    moved: usize,
}

/// Moves the copies of messages into a folder of their mailbox: those that `mailbox` and `folder` select, or all; ours.
///
/// The folder is created if it does not exist, and unknown ids are left out. Answers with the number of copies that
/// were in another folder before.
#[utoipa::path(
    post,
    path = "/api/v1/messages/move",
    tag = "messages",
    params(ListQuery),
    request_body = Move,
    responses((status = 200, body = Moved))
)]
pub(super) async fn move_to(
    State(running): AppState,
    Query(query): Query<ListQuery>,
    body: Bytes,
) -> Answer<Json<Moved>> {
    let Move { ids, folder } = read_json(&body).map_err(|error| Failure::invalid(format!("invalid JSON: {error}")))?;
    let numbers = numbers_of(catalogue(&running)?, &ids)?;
    let moved = running.mailboxes.move_entries(&numbers, &query.copies(&running)?, &folder).await?;
    Ok(Json(Moved { moved }))
}

/// Deletes the messages with the ids in the body; without ids, all of them.
///
/// Without ids, `before` and `mailbox` select fewer. With `mailbox`, and perhaps its `folder`, only the copies there
/// are deleted; a message that has no other copy goes with its journey. Answers `ok`.
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
            let (numbers, copies) = (numbers_of(catalogue(&running)?, &ids)?, query.copies(&running)?);
            to_the_end(async move { delete_entries(&running, &numbers, &copies).await }).await
        }
        None => {
            let (all, copies) = (query.filter(&running, None)?, query.copies(&running)?);
            to_the_end(async move { delete_all(&running, &all, &copies).await }).await
        }
    }
}

/// Deletes the messages that match.
///
/// With `mailbox`, and perhaps its `folder`, only their copies there. Answers `ok`; 400 without search words, or if
/// none of them can be read, so that this never means all messages.
#[utoipa::path(delete, path = "/api/v1/search", tag = "messages", params(ListQuery), responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn delete_found(State(running): AppState, Query(query): Query<ListQuery>) -> Answer {
    let words = query.query.as_deref().filter(|words| !words.trim().is_empty());
    let words = words.ok_or_else(|| Failure::invalid("Error: no search query"))?;
    let (found, copies) = (query.filter(&running, Some(words))?, query.copies(&running)?);
    if found.search.is_empty() {
        return Err(Failure::invalid(format!("no word of the query can be read: {words}")));
    }
    to_the_end(async move { delete_all(&running, &found, &copies).await }).await
}

/// Runs a deletion in a task of its own, so that mailboxes, queues and journeys agree even if the client disconnects;
/// answers `ok` after it, its error if it fails, and 500 if it panics.
async fn to_the_end(deletion: impl Future<Output = Answer<()>> + Send + 'static) -> Answer {
    let ended = tokio::spawn(deletion).await;
    ended.map_err(|error| Failure::internal(error.to_string()))??;
    Ok(done())
}

/// Deletes the messages that match `filter` now, or only those of their copies that `copies` selects, if it selects;
/// what arrives meanwhile stays. If `filter` has neither a mailbox nor a search, all settled journeys go, too, also
/// those without a message.
async fn delete_all(running: &RunningWorld, filter: &Filter, copies: &CopyFilter) -> Answer<()> {
    let catalogue = catalogue(running)?;
    let now = running.env.event_log.last_seq();
    let mut below = i64::MAX;
    loop {
        let numbers = catalogue.numbers(filter, Window { below, skip: 0, limit: BATCH }).await?;
        let Some(last) = numbers.last() else { break };
        below = *last;
        delete_entries(running, &numbers, copies).await?;
    }
    match filter.mailbox.is_none() && filter.search.is_empty() {
        true => delete_journeys(running, now).await,
        false => Ok(()),
    }
}

/// Deletes the settled journeys that began with an event up to number `last`, the newest one when the deletion of all
/// messages began, so that later journeys stay.
async fn delete_journeys(running: &RunningWorld, last: u64) -> Answer<()> {
    let (event_log, settled) = (&running.env.event_log, JourneyFilter { settled: Some(true), ..Default::default() });
    let mut before = last.saturating_add(1);
    loop {
        let page = event_log.journeys(&settled, before, JOURNEY_BATCH)?;
        event_log.delete(page.journeys.iter().map(|state| state.journey).collect()).await?;
        let Some(next) = page.next else { return Ok(()) };
        before = next;
    }
}

/// Deletes messages by their numbers in the catalogue, with all copies and their journeys; or, if `copies` selects
/// some, only these copies. A message of which no copy is left is deleted from the queues, too; a copy of it that is on
/// its way to a mailbox at this moment is removed when it gets there.
pub(super) async fn delete_entries(running: &RunningWorld, numbers: &[i64], copies: &CopyFilter) -> Answer<()> {
    let journeys = running.mailboxes.delete_entries(numbers, copies).await?;
    for mta in running.mtas.values().filter(|mta| !mta.queue().is_idle()) {
        for id in journeys.ids() {
            mta.delete(Selector::Journey(id)).await?;
        }
    }
    // At last, since what was deleted from the queues is settled now.
    Ok(running.env.event_log.forget(journeys).await?)
}
