//! Journeys as traces, in the JSON encoding of OTLP (opentelemetry-proto 1, `ExportTraceServiceRequest`).
//!
//! ```text
//!  trace: a journey
//!   └─ message               from the first host to the end; sent when it has ended
//!       ├─ received          an event of a host, as `step` in `/api/v1/events`
//!       ├─ tried             an attempt at a host
//!       │   └─ wait, dns, connect, greeting, tls, envelope, content, reply: its phases
//!       └─ relayed …
//! ```
//!
//! The ids follow from the journey and the event, so that a span that is sent twice is the same one, and a program that has the id of a
//! journey knows that of its trace.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::journey::{Event, EventKind, JourneyState, RecipientStatus};
use crate::mail::JourneyId;
use crate::world::later;

/// Elements of a list that become attributes.
const MAX_LIST: usize = 20;

/// `ExportTraceServiceRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: [ScopeSpans; 1],
}

#[derive(Serialize)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: String,
    kind: Kind,
    /// Nanoseconds since 1970, as text.
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<KeyValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
}

/// `SpanKind`; OTLP in JSON has the numbers of enums.
#[derive(Clone, Copy, Serialize)]
#[serde(into = "u8")]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// The number of the kind in OTLP.
impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        kind as Self
    }
}

/// `STATUS_CODE_ERROR`, and why.
#[derive(Serialize)]
struct Status {
    message: String,
    code: u8,
}

#[derive(Serialize)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Serialize)]
enum AnyValue {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
    /// 64 bits, as text.
    #[serde(rename = "intValue")]
    Int(String),
    #[serde(rename = "doubleValue")]
    Double(f64),
    #[serde(rename = "arrayValue")]
    Array { values: Vec<AnyValue> },
}

impl Request {
    /// Returns the request with the spans of these events, for which each host is a service, and with the root spans of
    /// the journeys in `ended`, each with the time of its end, whose service is `postroad`. `world` is the namespace.
    pub(super) fn new<'a>(
        world: &str,
        events: impl IntoIterator<Item = &'a Event>,
        ended: &[(JourneyState, Timestamp)],
    ) -> Self {
        let mut by_service: BTreeMap<String, Vec<Span>> = BTreeMap::new();
        for event in events {
            by_service.entry(event.host.to_string()).or_default().extend(of_event(event));
        }
        if !ended.is_empty() {
            let spans = ended.iter().map(|(state, end)| of_journey(state, *end));
            by_service.entry("postroad".to_owned()).or_default().extend(spans);
        }
        let resource_spans = by_service.into_iter().map(|(service, spans)| ResourceSpans {
            resource: Resource { attributes: vec![text("service.name", service), text("service.namespace", world)] },
            scope_spans: [ScopeSpans { scope: Scope { name: "postroad", version: env!("CARGO_PKG_VERSION") }, spans }],
        });
        Self { resource_spans: resource_spans.collect() }
    }
}

/// Returns the span of an event, and after it those of its phases, if it is an attempt. An attempt begins with its
/// wait; any other event begins `took_ms` before its time, if it has that. Its attributes are the fields of the event,
/// its kind is `Server` if mail was received or retrieved, and `Client` for an attempt, and its status is an error if
/// it was tried in vain, deferred or failed.
fn of_event(event: &Event) -> Vec<Span> {
    // Events are structs of values that JSON has.
    let json = serde_json::to_value(&event.kind).unwrap_or_default();
    let attempt = event.kind.attempt();
    let took = attempt.is_none().then(|| json["took_ms"].as_f64()).flatten();
    let start = match attempt {
        Some(attempt) => earlier(attempt.began, attempt.wait_ms),
        None => earlier(event.at, took.unwrap_or_default()),
    };
    let mut attributes = vec![text("postroad.journey", event.journey.to_string())];
    attributes.extend(event.id.map(|id| text("postroad.queue_id", id.to_string())));
    attributes.extend(attempt.into_iter().flat_map(|attempt| {
        let peer = attempt.address.map(|address| {
            [text("network.peer.address", address.ip().to_string()), number("network.peer.port", address.port().into())]
        });
        let preference = attempt.preference.map(|preference| number("postroad.mx_preference", preference.into()));
        peer.into_iter().flatten().chain(preference)
    }));
    let fields = json.as_object().into_iter().flatten().filter(|(name, _)| *name != "step");
    attributes.extend(fields.filter_map(|(name, value)| Some(pair(format!("postroad.{name}"), any(value)?))));
    let own = Place { journey: event.journey, name: format!("{}/{}/{}", event.journey, event.host, event.seq) };
    let mut span = own.span(json["step"].as_str().unwrap_or_default(), (start, event.at), root_id(event.journey));
    span.attributes = attributes;
    span.kind = match &event.kind {
        EventKind::Received { .. } | EventKind::Retrieved { .. } => Kind::Server,
        kind if kind.attempt().is_some() => Kind::Client,
        _ => Kind::Internal,
    };
    span.status = match &event.kind {
        EventKind::Tried { reason, .. } | EventKind::Deferred { reason, .. } | EventKind::Failed { reason, .. } => {
            Some(error(reason))
        }
        _ => None,
    };
    let mut spans = own.phases(event, &span.span_id);
    spans.insert(0, span);
    spans
}

/// A span of a journey, by the name from which its id is made.
struct Place {
    journey: JourneyId,
    name: String,
}

impl Place {
    /// Returns a span from start to end, of the kind `Internal` and without attributes; an end before the start is the
    /// start. Its id is made from the name of this place; `name` is the name that is shown, and `parent` the id of the
    /// span above.
    fn span(&self, name: &str, (start, end): (Timestamp, Timestamp), parent: String) -> Span {
        Span {
            trace_id: trace_id(self.journey),
            span_id: span_id(&self.name),
            parent_span_id: Some(parent),
            name: name.to_owned(),
            kind: Kind::Internal,
            start_time_unix_nano: nanos(start),
            end_time_unix_nano: nanos(end.max(start)),
            attributes: Vec::new(),
            status: None,
        }
    }

    /// Returns the spans of the phases of an attempt, one after the other from the begin of its wait, without those
    /// that took no time; none for other events. `parent` is the id of the span of the attempt. That of `dns` has the
    /// lookups as an attribute.
    fn phases(&self, event: &Event, parent: &str) -> Vec<Span> {
        let Some(attempt) = event.kind.attempt() else { return Vec::new() };
        let mut start = earlier(attempt.began, attempt.wait_ms);
        let all = [("wait", attempt.wait_ms)].into_iter().chain(attempt.phases());
        let mut spans = Vec::new();
        for (name, duration) in all.filter(|(_, duration)| 0.0 < *duration) {
            let end = later(start, milliseconds(duration));
            let place = Self { journey: self.journey, name: format!("{}/{name}", self.name) };
            let mut span = place.span(name, (start, end), parent.to_owned());
            if name == "dns" {
                let values = attempt.lookups.iter().map(|lookup| AnyValue::Text(lookup.to_string())).collect();
                span.attributes.push(pair("postroad.lookups".to_owned(), AnyValue::Array { values }));
            }
            spans.push(span);
            start = end;
        }
        spans
    }
}

/// Returns the span `message` of a journey that has ended, which is the root of its trace, from its begin to `end`. Its
/// attributes are the journey, the reverse-path (`<>` for the null one) and the first [`MAX_LIST`] recipients. Its
/// status is the error of the first recipient that failed, if any.
fn of_journey(state: &JourneyState, end: Timestamp) -> Span {
    let failed = state.recipients.values().find_map(|status| match status {
        RecipientStatus::Failed { reason, .. } => Some(error(reason)),
        _ => None,
    });
    let recipients = state.recipients.keys().take(MAX_LIST).map(|to| AnyValue::Text(to.to_string())).collect();
    let from = state.reverse_path.as_ref().map_or_else(|| "<>".to_owned(), ToString::to_string);
    let place = Place { journey: state.journey, name: String::new() };
    Span {
        span_id: root_id(state.journey),
        parent_span_id: None,
        attributes: vec![
            text("postroad.journey", state.journey.to_string()),
            text("postroad.from", from),
            pair("postroad.recipients".to_owned(), AnyValue::Array { values: recipients }),
        ],
        status: failed,
        ..place.span("message", (state.began, end), String::new())
    }
}

/// The first 16 bytes of the BLAKE3 hash of the journey's id, in hexadecimal.
fn trace_id(journey: JourneyId) -> String {
    blake3::hash(journey.to_string().as_bytes()).to_hex()[..32].to_owned()
}

/// The span id of a journey's root: the 8 bytes of the hash after those of [`trace_id`], in hexadecimal.
fn root_id(journey: JourneyId) -> String {
    blake3::hash(journey.to_string().as_bytes()).to_hex()[32..48].to_owned()
}

/// The first 8 bytes of the BLAKE3 hash of a name, in hexadecimal.
fn span_id(name: &str) -> String {
    blake3::hash(name.as_bytes()).to_hex()[..16].to_owned()
}

/// Nanoseconds since 1970, as text; 0 for a time before.
fn nanos(time: Timestamp) -> String {
    time.as_nanosecond().max(0).to_string()
}

/// Converts a number of milliseconds to a duration; 0 for a negative number, and for one that no duration can have.
fn milliseconds(duration: f64) -> Duration {
    Duration::try_from_secs_f64(duration.max(0.0) / 1e3).unwrap_or_default()
}

/// Returns the time that is `duration_ms` milliseconds before `time`; `time` itself if the result is out of range.
fn earlier(time: Timestamp, duration_ms: f64) -> Timestamp {
    time.checked_sub(milliseconds(duration_ms)).unwrap_or(time)
}

/// Returns the status `STATUS_CODE_ERROR` with this reason.
fn error(reason: &str) -> Status {
    Status { message: reason.to_owned(), code: 2 }
}

/// Returns an attribute with this name and value.
fn pair(key: String, value: AnyValue) -> KeyValue {
    KeyValue { key, value }
}

/// Returns an attribute whose value is a text.
fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key.to_owned(), AnyValue::Text(value.into()))
}

/// Returns an attribute whose value is an integer.
fn number(key: &str, value: u64) -> KeyValue {
    pair(key.to_owned(), AnyValue::Int(value.to_string()))
}

/// Returns a JSON value as that of an attribute; `None` for null and objects. Lists have their first [`MAX_LIST`]
/// elements, without those that are null or objects.
fn any(value: &Value) -> Option<AnyValue> {
    Some(match value {
        Value::Null | Value::Object(_) => return None,
        Value::Bool(value) => AnyValue::Bool(*value),
        Value::String(value) => AnyValue::Text(value.clone()),
        Value::Number(value) if value.is_f64() => AnyValue::Double(value.as_f64()?),
        Value::Number(value) => AnyValue::Int(value.to_string()),
        Value::Array(values) => AnyValue::Array { values: values.iter().take(MAX_LIST).filter_map(any).collect() },
    })
}
