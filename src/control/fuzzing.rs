//! Fuzz entry point of the HTTP interface, used by `fuzz/` and by the test of this file: whatever the path, the query and the
//! body, every route of a small world in virtual time answers, and none panics.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::{Builder, Runtime};

use super::metrics::Metrics;
use super::{Access, backup, router, routes};
use crate::catalogue::Catalogue;
use crate::host::{Environment, PublicPorts, RunningWorld};
use crate::mail::{Envelope, Message, Recipient};
use crate::mta;
use crate::sync::lock;
use crate::world::World;

/// One writes to the disk of this machine; the answer of the other has no end.
const LEFT_OUT: [&str; 2] = [backup::PATH, "/api/v1/events/stream"];
/// Requests to one world, so that it stays small.
const REQUESTS_PER_WORLD: usize = 1_000;
/// The longest answer.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A world and its routes.
struct Fuzzed {
    runtime: Runtime,
    router: TowerToHyperService<Router>,
    /// Methods and paths with `{…}` for what varies.
    operations: Vec<(Method, String)>,
    requests: usize,
}

static FUZZED: Mutex<Option<Fuzzed>> = Mutex::new(None);

/// Sends a request to a world of the process, which is a new one after `REQUESTS_PER_WORLD`. The first byte selects the
/// route; lines of the rest are the variable part of the path, the query, and the body.
///
/// # Panics
/// If a handler panics, or answers that the program has a defect.
pub fn request(input: &[u8]) {
    let [operation, input @ ..] = input else { return };
    let mut fuzzed = lock(&FUZZED);
    fuzzed.take_if(|fuzzed| REQUESTS_PER_WORLD <= fuzzed.requests);
    fuzzed.get_or_insert_with(Fuzzed::new).request(usize::from(*operation), input);
}

impl Fuzzed {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let running = Arc::new(runtime.block_on(world()));
        let paths = routes().into_openapi().paths.paths.into_iter().filter(|(path, _)| !LEFT_OUT.contains(&&**path));
        let operations = paths.flat_map(|(path, item)| {
            let methods = [
                (Method::GET, item.get.is_some()),
                (Method::POST, item.post.is_some()),
                (Method::PUT, item.put.is_some()),
                (Method::DELETE, item.delete.is_some()),
            ];
            methods.into_iter().filter(|(_, is_there)| *is_there).map(move |(method, _)| (method, path.clone()))
        });
        let operations = operations.collect();
        let metrics = Arc::new(Metrics::new(&running));
        let router = TowerToHyperService::new(router(running, Access::default(), metrics));
        Self { runtime, router, operations, requests: 0 }
    }

    fn request(&mut self, operation: usize, input: &[u8]) {
        self.requests += 1;
        let (method, path) = &self.operations[operation % self.operations.len()];
        let mut parts = input.splitn(3, |byte| *byte == b'\n');
        let mut next = || parts.next().unwrap_or_default();
        let (variable, query, body) = (next(), next(), next());
        let uri = format!("{}?{}", filled(path, variable), encoded(query, b"&=%+"));
        let request = Request::builder().method(method).uri(uri).header("Host", "localhost");
        let request = request.header("Content-Type", "application/json").body(Body::from(body.to_vec()));
        // The URI may be too long.
        let Ok(request) = request else { return };
        let (router, description) = (&self.router, format!("{method} {}", request.uri()));
        let status = self.runtime.block_on(async {
            let Ok(response) = router.call(request).await;
            let status = response.status();
            to_bytes(response.into_body(), MAX_ANSWER_BYTES).await.expect("an answer has an end");
            status
        });
        // What panics in a task of its own is answered so.
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{description}");
    }
}

/// A world with a message in it.
async fn world() -> RunningWorld {
    let mut env = Environment::simulated(World::journey(), 1, jiff::Timestamp::UNIX_EPOCH, true).expect("a world");
    env.catalogue = Some(Catalogue::new(env.store.clone()));
    let running = RunningWorld::start(env, PublicPorts::none()).await.expect("a world that starts");
    let (from, to) = running.env.world.message.clone().expect("two users");
    let text = "Subject: your code\r\nContent-Type: text/html\r\n\r\n<a href=\"http://x.test/\">246810</a>\r\n";
    let envelope = Envelope { reverse_path: Some(from), recipients: vec![Recipient::from(to)], ..Envelope::default() };
    let mta = running.mtas.values().next().expect("an MTA");
    let receipt = mta::accept(mta, envelope, Message::new(text.into())).await.expect("an accepted message");
    tracing::debug!(id = %receipt.id, "a message for the requests");
    running
}

/// The path with this text, percent-encoded, in place of each `{…}`.
fn filled(path: &str, text: &[u8]) -> String {
    let mut filled = String::new();
    for (at, part) in path.split(['{', '}']).enumerate() {
        // Inside of braces; a slash would be another path.
        filled += &if at % 2 == 1 { encoded(text, b"%") } else { part.to_owned() };
    }
    filled
}

/// Text with `%XX` for what a URI may not have; these bytes stay.
fn encoded(text: &[u8], stays: &[u8]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || stays.contains(&byte);
    let one = |byte: &u8| if is_plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    text.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::fuzzing::run_random;

    #[test]
    fn http_routes_answer_every_random_request() {
        let words = "latest|\n|\n|\n|query=|subject:|is:unread|-|\"|before:2026-01-01|larger:1k|tag:|&|limit=|cursor=|start=|wait=1|\
            mailbox=friend@sina.test|account=friend@sina.test&mailbox=INBOX|uid=1|tz=Europe/Berlin|host=mta-163|id=|all=true|\
            3FK9Q2XW7T|%|%ff|%00|on|off|hold|flush|{\"IDs\":[\"|\"]|}|{|[|]|:|,|\"read\":true|\"tags\":[\"a b\"]|\"name\":\"x\"|\
            {\"From\":{\"Email\":\"me@163.test\"},\"To\":[{\"Email\":\"friend@sina.test\"}],\"HTML\":\"<b>\"}|{\"To\":[\"friend@sina.test\"]}|\
            {\"kind\":\"slow\",\"between\":[\"mta-163\",\"mta-relay\"],\"latency\":\"1s\"}|{\"kind\":\"off\",\"host\":\"mta-sina\"}|\
            {\"Sender\":{\"ErrorCode\":451,\"Probability\":50}}|null|1e999|\u{e9}|Subject: x\r\n\r\ny\r\n";
        run_random("http", request, 1_500, words);
    }

    #[test]
    fn http_routes_for_messages_without_a_catalogue_say_where_messages_are() {
        let mut fuzzed = Fuzzed::new();
        let env = Environment::simulated(World::journey(), 1, jiff::Timestamp::UNIX_EPOCH, false).unwrap();
        let running = fuzzed.runtime.block_on(RunningWorld::start(env, PublicPorts::none())).unwrap();
        let metrics = Arc::new(Metrics::new(&running));
        fuzzed.router = TowerToHyperService::new(router(Arc::new(running), Access::default(), metrics));
        for (path, status) in [
            ("/api/v1/messages", 501),
            ("/api/v1/message/latest", 501),
            ("/view/latest.txt", 501),
            ("/api/v1/journeys", 200),
        ] {
            let request = Request::get(path).header("Host", "localhost").body(Body::empty()).unwrap();
            let (found, text) = fuzzed.runtime.block_on(async {
                let Ok(response) = fuzzed.router.call(request).await;
                (response.status(), to_bytes(response.into_body(), MAX_ANSWER_BYTES).await.unwrap())
            });
            assert_eq!(found, status, "{path}");
            let text = String::from_utf8(text.to_vec()).unwrap();
            assert!(status == 200 || text.contains("IMAP") && text.lines().count() == 1, "{text}");
        }
    }
}
