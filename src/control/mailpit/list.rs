//! Lists and searches.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use jiff::tz::TimeZone;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::types::{MessageSummary, MessagesSummary};
use super::{Answer, AppState, Failure, catalogue};
use crate::catalogue::{Catalogue, Changes, Filter, Page, Search, Window, read_time};
use crate::control::wait::deadline;
use crate::host::RunningWorld;
use crate::mail::{Address, JourneyId};
use crate::mda::CopyFilter;
use crate::net::Stop;

/// The default length of a list.
const DEFAULT_LIMIT: usize = 50;
/// The longest list; `next` continues it.
const MAX_LIMIT: usize = 10_000;

/// The parameters of a list or a search. Unknown ones are ignored, and numbers that cannot be read are the default.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many to skip.
    start: Option<String>,
    /// The length of a page: 50 by default, 10,000 at most.
    limit: Option<String>,
    /// Only those that arrived before this time.
    before: Option<String>,
    /// Search words.
    pub(super) query: Option<String>,
    /// The time zone of dates in the query, such as `Europe/Berlin`.
    tz: Option<String>,
    /// Only messages for this address.
    mailbox: Option<String>,
    /// Only messages with a copy in this folder of that mailbox, such as `INBOX`.
    folder: Option<String>,
    /// Until there is a match, at most so long: `30s`, or a number of seconds.
    wait: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

impl ListQuery {
    /// Returns the time zone that `tz` names; UTC without one, and 400 if there is no such zone.
    fn zone(&self) -> Answer<TimeZone> {
        match self.tz.as_deref().filter(|name| !name.is_empty()) {
            None => Ok(TimeZone::UTC),
            Some(name) => TimeZone::get(name).map_err(|_| Failure::invalid(format!("unknown time zone: {name}"))),
        }
    }

    /// Returns the filter of the copies of messages in `mailbox` and its `folder`; of all without them. 404 if that
    /// folder does not exist; 400 if `mailbox` is no address, or there is a `folder` without it.
    pub(super) fn copies(&self, running: &RunningWorld) -> Answer<CopyFilter> {
        let invalid = |text: &String| Failure::invalid(format!("not an address: {text}"));
        let address = self.mailbox.as_ref().map(|text| text.parse::<Address>().map_err(|_| invalid(text)));
        let account = address.transpose()?.map(|address| address.key());
        let mailbox = match (&account, self.folder.as_deref().filter(|name| !name.is_empty())) {
            (_, None) => None,
            (Some(account), Some(name)) => Some(running.mailboxes.status(account, name)?.id),
            (None, Some(_)) => return Err(Failure::invalid("folder is one of a mailbox: mailbox=ADDRESS&folder=NAME")),
        };
        Ok(CopyFilter { account, mailbox })
    }

    /// Returns the filter of the messages that match `words`, and the parameters `before`, `mailbox` and `folder`; all
    /// match without these. The parameter `query` has no effect here. 400 if `tz`, `before` or `mailbox` cannot be
    /// read, or `folder` comes without `mailbox`; 404 if the folder does not exist.
    pub(super) fn filter(&self, running: &RunningWorld, words: Option<&str>) -> Answer<Filter> {
        let zone = self.zone()?;
        let mut search = Search::parse(words.unwrap_or_default(), &zone);
        if let Some(before) = self.before.as_deref().filter(|before| !before.is_empty()) {
            let unreadable = || Failure::invalid(format!("not a time: {before}"));
            search = search.before(read_time(before, &zone).ok_or_else(unreadable)?);
        }
        let CopyFilter { account, mailbox } = self.copies(running)?;
        Ok(Filter { mailbox: account, folder: mailbox, search })
    }

    /// Returns which of the matching messages are in the page: after `cursor` and then `start` more, as many as
    /// `limit`, [`MAX_LIMIT`] at most. `no_limit` is what `limit=0` stands for. 400 if `cursor` is no id, or its
    /// message was deleted.
    fn window(&self, catalogue: &Catalogue, no_limit: usize) -> Answer<Window> {
        let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<usize>().ok());
        let limit = match number(&self.limit) {
            None => DEFAULT_LIMIT,
            Some(0) => no_limit,
            Some(limit) => limit.min(MAX_LIMIT),
        };
        let below = match &self.cursor {
            None => i64::MAX,
            Some(text) => {
                let id = text.parse::<JourneyId>().map_err(|_| Failure::invalid("cursor is the `next` of a page"))?;
                catalogue
                    .find(id)?
                    .map(|entry| entry.number)
                    .ok_or_else(|| Failure::invalid("the message of this cursor was deleted; begin again without it"))?
            }
        };
        Ok(Window { below, skip: number(&self.start).unwrap_or(0), limit })
    }

    /// Returns when the wait for a match ends; `None` if the request does not wait, and 400 if `wait` is no duration.
    pub(super) fn deadline(&self) -> Answer<Option<Instant>> {
        deadline(self.wait.as_deref()).map_err(Failure::invalid)
    }
}

/// Waits until something is found: the caller looks, and again whenever the catalogue changes.
pub(super) struct Wait {
    changes: Receiver<Arc<Changes>>,
    deadline: Option<Instant>,
    stop: Stop,
}

impl Wait {
    /// Starts to note the changes of the catalogue, up to `deadline`. Must be called before the first look, so that no
    /// change is missed. 501 if this process has no catalogue.
    pub(super) fn new(running: &RunningWorld, deadline: Option<Instant>) -> Answer<Self> {
        Ok(Self { changes: catalogue(running)?.changes(), deadline, stop: running.stopping() })
    }

    /// Waits for a change of the catalogue since the last call, or since `new`; returns `true` after one, so that the
    /// caller looks again. Returns `false` if the time is over or the world stops, and, without waiting, if there is no
    /// deadline.
    pub(super) async fn for_change(&mut self) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let change = timeout_at(deadline, self.stop.run_until_cancelled(self.changes.recv())).await;
        matches!(change, Ok(Some(Ok(_) | Err(RecvError::Lagged(_)))))
    }
}

/// Messages, newest first.
///
/// `query` has no effect here, and `limit=0` is 10,000. With `wait`, waits until there is one.
#[utoipa::path(
    get,
    path = "/api/v1/messages",
    tag = "messages",
    params(ListQuery),
    responses((status = 200, body = MessagesSummary))
)]
pub(super) async fn messages(State(running): AppState, Query(query): Query<ListQuery>) -> Answer<impl IntoResponse> {
    let window = query.window(catalogue(&running)?, MAX_LIMIT)?;
    answer(&running, &query, query.filter(&running, None)?, window).await.map(Json)
}

/// Messages that match, newest first.
///
/// `limit=0` gives no messages, but their number. With `wait`, waits until one matches. Answers 400 without search
/// words.
#[utoipa::path(
    get,
    path = "/api/v1/search",
    tag = "messages",
    params(ListQuery),
    responses((status = 200, body = MessagesSummary))
)]
pub(super) async fn search(State(running): AppState, Query(query): Query<ListQuery>) -> Answer<impl IntoResponse> {
    let words = query.query.as_deref().filter(|words| !words.trim().is_empty());
    let words = words.ok_or_else(|| Failure::invalid("Error: no search query"))?;
    let window = query.window(catalogue(&running)?, 0)?;
    answer(&running, &query, query.filter(&running, Some(words))?, window).await.map(Json)
}

/// Returns a page of the messages that match, with all tags in use; waits for the first match as `wait` says, and is
/// empty if none comes. `total` and `unread` ignore the search words and `before`; `messages_count` and
/// `messages_unread` are those of all matches.
async fn answer(running: &RunningWorld, query: &ListQuery, filter: Filter, window: Window) -> Answer<MessagesSummary> {
    let catalogue = catalogue(running)?;
    let mut wait = Wait::new(running, query.deadline()?)?;
    // One more than the page has shows whether there is a next one.
    let wanted = Window { limit: window.limit.saturating_add(1), ..window };
    let mut page = catalogue.page(&filter, wanted).await?;
    while page.matches == 0 && wait.for_change().await {
        page = catalogue.page(&filter, wanted).await?;
    }
    let Page { matches, unread, mut entries } = page;
    let has_more = window.limit < entries.len();
    entries.truncate(window.limit);
    let (total, all_unread) = match filter.search.is_empty() {
        true => (matches, unread),
        false => catalogue.count(&Filter { search: Search::default(), ..filter.clone() })?,
    };
    let next = entries.last().filter(|_| has_more).map(|entry| entry.id.to_string());
    let messages = entries.iter().map(|entry| MessageSummary::of(catalogue, entry)).collect::<Result<Vec<_>, _>>()?;
    Ok(MessagesSummary {
        total,
        unread: all_unread,
        count: messages.len(),
        messages_count: matches,
        messages_unread: unread,
        start: window.skip,
        tags: catalogue.tags()?.into_iter().map(|(tag, _)| tag).collect(),
        messages,
        next,
    })
}
