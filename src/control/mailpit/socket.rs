//! The websocket: what changes in the list, as it happens. What clients send is ignored.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{interval, timeout};

use super::info::VERSION;
use super::news::News;
use super::{Answer, AppState, Failure, Ours, catalogue};
use crate::catalogue::{Catalogue, Changes, Filter};
use crate::host::RunningWorld;

/// Interval of pings, which keep proxies from closing the connection.
const PING_INTERVAL: Duration = Duration::from_secs(54);
/// How long a client may take to read an event.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest message of a client.
const MAX_INPUT_BYTES: usize = 4096;

/// A websocket with the changes, as they happen.
///
/// Answers 503 if 256 websockets are open already.
#[utoipa::path(get, path = "/api/events", tag = "messages", responses((status = 101, description = "A websocket.")))]
pub(super) async fn events(State(running): AppState, Extension(shared): Ours, upgrade: WebSocketUpgrade) -> Answer {
    catalogue(&running)?;
    let too_many = |_| Failure(StatusCode::SERVICE_UNAVAILABLE, "too many websockets".to_owned());
    let seat = shared.sockets.clone().try_acquire_owned().map_err(too_many)?;
    let upgrade = upgrade.max_message_size(MAX_INPUT_BYTES).max_frame_size(MAX_INPUT_BYTES);
    let response: Response = upgrade.on_upgrade(async move |socket| {
        let _seat = seat;
        let stop = running.stopping();
        stop.run_until_cancelled(follow(&running, socket)).await;
    });
    Ok(response)
}

/// Sends the event `stats`, then the events of each commit to the catalogue as it happens, `prune` if some were missed,
/// and pings. What the client sends is read and ignored. Returns only when the client has gone or reads nothing, or
/// without a catalogue, always `None`: it is an `Option` for `?` only.
async fn follow(running: &Arc<RunningWorld>, mut socket: WebSocket) -> Option<()> {
    let catalogue = catalogue(running).ok()?;
    let mut changes = catalogue.changes();
    let mut pings = interval(PING_INTERVAL);
    send(&mut socket, "stats", stats(catalogue)).await?;
    loop {
        tokio::select! {
            biased;
            input = socket.recv() => {
                input?.ok()?;
            }
            change = changes.recv() => match change {
                Ok(change) => report(catalogue, &mut socket, &change).await?,
                Err(RecvError::Lagged(_)) => send(&mut socket, "prune", Value::Null).await?,
                Err(RecvError::Closed) => return None,
            },
            _ = pings.tick() => write(&mut socket, Message::Ping(Default::default())).await?,
        }
    }
}

/// Sends the changes of one commit: an event for each message that can still be read, `truncate` if none is left after
/// a deletion, and `stats`. `None` if the client is gone or reads nothing.
async fn report(catalogue: &Catalogue, socket: &mut WebSocket, change: &Changes) -> Option<()> {
    for news in News::of(change) {
        let kind = match news {
            News::Added(_) => "new",
            News::Changed(_) => "update",
            News::Deleted(_) => "delete",
        };
        if let Some(data) = news.data(catalogue) {
            send(socket, kind, data).await?;
        }
    }
    if !change.deleted.is_empty() && catalogue.count(&Filter::default()).is_ok_and(|(total, _)| total == 0) {
        send(socket, "truncate", Value::Null).await?;
    }
    send(socket, "stats", stats(catalogue)).await
}

/// Returns the data of the event `stats`: how many messages there are and how many are unread, in all mailboxes (0 if
/// that cannot be read), and the version.
fn stats(catalogue: &Catalogue) -> Value {
    let (total, unread) = catalogue.count(&Filter::default()).unwrap_or_default();
    json!({ "Total": total, "Unread": unread, "Version": VERSION })
}

/// Sends an event, `{"Type": kind, "Data": data}`. `None` if the client is gone or reads nothing.
async fn send(socket: &mut WebSocket, kind: &str, data: Value) -> Option<()> {
    write(socket, Message::Text(json!({ "Type": kind, "Data": data }).to_string().into())).await
}

/// Sends a frame; `None` if the client is gone or reads nothing for [`WRITE_TIMEOUT`].
async fn write(socket: &mut WebSocket, message: Message) -> Option<()> {
    timeout(WRITE_TIMEOUT, socket.send(message)).await.ok()?.ok()
}
