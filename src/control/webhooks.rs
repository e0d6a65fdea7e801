//! Webhooks: sends events to the receivers that the world file names, signed as Standard Webhooks 1.0 has it
//! (<https://www.standardwebhooks.com>), until each was taken.
//!
//! The event log is the queue, and the place of each receiver in it is stored: after a restart, it goes on there. Events are sent one
//! after the other, in their order. After a crash, the last ones may come once more, with the same `webhook-id`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::Timestamp;
use ring::hmac;
use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::mailpit;
use super::post::post;
use crate::catalogue::Catalogue;
use crate::journey::{Event, EventLog, Lagged};
use crate::net::{Interface, Stop};
use crate::world::{Clock, Webhook};

/// How long a receiver may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);
/// The wait after the first failure; doubled after each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The wait never grows beyond this.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// An event that was not taken for so long is given up, so that the others are not held back for ever.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);
/// How often the place is stored at most.
const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// What a webhook needs of the world.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) event_log: EventLog,
    pub(super) catalogue: Option<Catalogue>,
    pub(super) interface: Interface,
    pub(super) clock: Clock,
}

/// The body of a request.
#[derive(Serialize)]
struct Payload<'a> {
    /// `message.` and the event's `step`.
    #[serde(rename = "type")]
    kind: String,
    /// When it happened.
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    event: &'a Value,
    /// As in the list of messages, while it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
}

/// Sends the events of a webhook until `stop`: those after its place in the event log that is stored, or those from now
/// on if none is. Stores the place at the start, after events, and at the end. Returns at once, with the error in the
/// log, if the place cannot be read.
pub(super) async fn run(webhook: Webhook, source: Source, stop: Stop) {
    let name = format!("webhook {}", webhook.url);
    let from = match source.event_log.reader_position(&name) {
        // Numbers of other data are no places here.
        Ok(position) => position.unwrap_or(u64::MAX).min(source.event_log.last_seq()),
        Err(error) => return tracing::error!(%error, url = %webhook.url, "cannot read the place of a webhook"),
    };
    let mut sender =
        Sender { key: hmac::Key::new(hmac::HMAC_SHA256, &webhook.secret), webhook, source, name, taken: from };
    sender.save().await;
    stop.run_until_cancelled(sender.send_all()).await;
    sender.save().await;
}

struct Sender {
    webhook: Webhook,
    key: hmac::Key,
    source: Source,
    /// The name of its place in the store.
    name: String,
    /// The number of the last event that was taken, or is not for this webhook.
    taken: u64,
}

impl Sender {
    /// Stores the number of the last event that was taken, after which the webhook goes on after a restart; a failure
    /// is logged only.
    async fn save(&self) {
        if let Err(error) = self.source.event_log.save_reader_position(&self.name, self.taken).await {
            tracing::error!(%error, url = %self.webhook.url, "cannot store the place of a webhook");
        }
    }

    /// Sends the events after `taken` in their order, and stores the place after each batch and every
    /// [`SAVE_INTERVAL`]. Events that the log dropped before they were read are left out, which is logged. Never
    /// returns.
    async fn send_all(&mut self) {
        let mut events = self.source.event_log.subscribe(self.taken);
        let mut saved = Instant::now();
        loop {
            let batch = match events.next().await {
                Ok(batch) => batch,
                Err(lagged @ Lagged { .. }) => {
                    tracing::warn!(url = %self.webhook.url, "not sent to a webhook: {lagged}");
                    continue;
                }
            };
            for event in batch {
                self.send(&event).await;
                self.taken = event.seq;
                if SAVE_INTERVAL <= saved.elapsed() {
                    self.save().await;
                    saved = Instant::now();
                }
            }
            self.save().await;
        }
    }

    /// Sends an event, if the webhook wants its step, with its message as in the list of messages; again and again,
    /// with growing waits, until the answer is 2xx or the event is given up after [`GIVE_UP_AFTER`]. Failures are
    /// logged.
    async fn send(&self, event: &Event) {
        // Events are structs of values that JSON has.
        let json = serde_json::to_value(event).unwrap_or_default();
        let step = json["step"].as_str().unwrap_or_default();
        if !self.webhook.events.is_empty() && !self.webhook.events.contains(step) {
            return;
        }
        let message = self.source.catalogue.as_ref().and_then(|catalogue| mailpit::summary(catalogue, event.journey));
        let data = Data { event: &json, message };
        let payload = Payload { kind: format!("message.{step}"), timestamp: event.at, data };
        let body = Bytes::from(serde_json::to_vec(&payload).unwrap_or_default());
        let (began, mut wait) = (Instant::now(), FIRST_WAIT);
        loop {
            let why = match timeout(RESPONSE_TIMEOUT, self.post(event.seq, body.clone())).await {
                Ok(Ok(status)) if status.is_success() => return,
                Ok(Ok(status)) => format!("it answered {status}"),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {RESPONSE_TIMEOUT:?}"),
            };
            if GIVE_UP_AFTER <= began.elapsed() {
                return tracing::error!(url = %self.webhook.url, event = event.seq, why, "a webhook gives up an event");
            }
            tracing::warn!(url = %self.webhook.url, event = event.seq, why, "a webhook did not take an event; retrying in {wait:?}");
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Sends a body once, with `evt_` and `seq` as its `webhook-id`, signed with the present time of the world; returns
    /// the status of the answer, whatever it is.
    async fn post(&self, seq: u64, body: Bytes) -> anyhow::Result<StatusCode> {
        let (id, time) = (format!("evt_{seq}"), self.source.clock.now().as_second());
        let (signature, time) = (signature(&self.key, &id, time, &body), time.to_string());
        let fields = [("webhook-id", &*id), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
        post(&self.source.interface, &self.webhook.url, &fields, body).await
    }
}

/// Returns the header value `v1,` and the HMAC-SHA256 of `ID.TIME.BODY` in Base64; the time is in seconds since 1970.
/// Standard Webhooks 1.0, "Signature scheme".
fn signature(key: &hmac::Key, id: &str, time: i64, body: &[u8]) -> String {
    let mut signed = format!("{id}.{time}.").into_bytes();
    signed.extend_from_slice(body);
    format!("v1,{}", STANDARD.encode(hmac::sign(key, &signed)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::http::HeaderMap;
    use axum::routing::post;

    use super::super::http::{Http, LIMITS};
    use super::*;
    use crate::journey::{EventKind, SCHEMA};
    use crate::mail::JourneyId;
    use crate::net::{Net, ServerConfig, serve};
    use crate::store::Store;
    use crate::sync::lock;

    /// The example of the specification.
    #[test]
    fn webhook_signature_is_that_of_the_standard() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    type Taken = Arc<Mutex<Vec<(String, u64, String)>>>;

    /// A receiver that refuses every third request.
    fn receiver(taken: Taken, key: Vec<u8>) -> Router {
        let count = Arc::new(Mutex::new(0));
        let take = async move |headers: HeaderMap, body: Bytes| {
            *lock(&count) += 1;
            if *lock(&count) % 3 == 0 {
                return StatusCode::INTERNAL_SERVER_ERROR;
            }
            let header = |name: &str| headers[name].to_str().unwrap().to_owned();
            let (id, time) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            assert_eq!(header("webhook-signature"), signature(&key, &id, time, &body));
            let payload: Value = serde_json::from_slice(&body).unwrap();
            let seq = payload["data"]["event"]["seq"].as_u64().unwrap();
            lock(&taken).push((id, seq, payload["type"].as_str().unwrap().to_owned()));
            StatusCode::NO_CONTENT
        };
        Router::new().route("/hook", post(take))
    }

    fn report(event_log: &EventLog, count: u64) {
        for number in 0..count {
            let recipients = vec!["a@x.test".parse().unwrap()];
            let kind = match number % 2 {
                0 => EventKind::Released { recipients },
                _ => EventKind::Deleted { recipients },
            };
            event_log.emitter("mta").report(JourneyId::from_random(number), None, kind, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn webhook_sends_every_event_in_order_to_a_receiver_that_was_down_and_through_a_restart() {
        let (net, clock) =
            (Net::memory(Arc::new(|_, _| Duration::from_millis(5))), Clock::starting_at(Timestamp::UNIX_EPOCH));
        let interface = net.interface(&[[192, 0, 2, 2].into()]);
        let (store, key) = (Store::in_memory(&[SCHEMA]).unwrap(), vec![7; 32]);
        let webhook = Webhook {
            url: "http://192.0.2.1:9000/hook".parse().unwrap(),
            events: ["deleted".to_owned()].into(),
            secret: key.clone(),
        };
        let open = || EventLog::stored(store.clone(), clock, 100, false).unwrap();
        let start = |event_log: &EventLog, stop: &Stop| {
            let source = Source { event_log: event_log.clone(), catalogue: None, interface: interface.clone(), clock };
            tokio::spawn(run(webhook.clone(), source, stop.clone()))
        };
        let (first, stop) = (open(), Stop::new());
        let sending = start(&first, &stop);
        sleep(Duration::from_secs(1)).await;
        report(&first, 10);
        sleep(Duration::from_secs(3600)).await;
        stop.cancel();
        sending.await.unwrap();
        first.save_all().await.unwrap();
        drop(first);

        let (second, stop, taken) = (open(), Stop::new(), Taken::default());
        report(&second, 10);
        let listener = net.interface(&[[192, 0, 2, 1].into()]).listen(9000).await.unwrap().remove(0);
        let server = Http(receiver(taken.clone(), key));
        let serving = tokio::spawn(serve(ServerConfig { listener, tls: None, limits: LIMITS }, server, stop.clone()));
        let sending = start(&second, &stop);
        sleep(Duration::from_secs(600)).await;
        let seen = lock(&taken).clone();
        let mut all = second.subscribe(0);
        let mut wanted = Vec::new();
        while let Ok(events) = all.try_next()
            && !events.is_empty()
        {
            wanted.extend(
                events.iter().filter(|event| matches!(event.kind, EventKind::Deleted { .. })).map(|event| event.seq),
            );
        }
        assert_eq!(wanted.len(), 10);
        assert_eq!(seen.iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), wanted);
        assert!(seen.iter().all(|(id, seq, kind)| *id == format!("evt_{seq}") && kind == "message.deleted"));
        // What was taken is not sent again.
        stop.cancel();
        sending.await.unwrap();
        serving.await.unwrap();
        assert_eq!(second.reader_position("webhook http://192.0.2.1:9000/hook").unwrap(), Some(second.last_seq()));
    }
}
