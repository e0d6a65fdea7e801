//! `--otlp`: the traces of journeys, as a collector takes them that knows the fields of opentelemetry-proto and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::http::Smtp;
use super::{Served, err, eventually, postroad};

/// opentelemetry/proto/collector/trace/v1/trace_service.proto and trace/v1/trace.proto, in the JSON encoding of OTLP: names in
/// lowerCamelCase, ids in hexadecimal, 64-bit numbers as text, enums as numbers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExportTraceServiceRequest {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeSpans {
    scope: InstrumentationScope,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InstrumentationScope {
    name: String,
    version: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Span {
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(default)]
    attributes: Vec<KeyValue>,
    status: Option<Status>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    message: String,
    code: u8,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
enum AnyValue {
    #[serde(rename = "stringValue")]
    Text(String),
    #[serde(rename = "boolValue")]
    Bool(bool),
    #[serde(rename = "intValue")]
    Int(String),
    #[serde(rename = "doubleValue")]
    Double(f64),
    #[serde(rename = "arrayValue")]
    Array(ArrayValue),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArrayValue {
    values: Vec<AnyValue>,
}

impl Span {
    fn start(&self) -> i128 {
        self.start_time_unix_nano.parse::<u64>().unwrap().into()
    }

    fn end(&self) -> i128 {
        self.end_time_unix_nano.parse::<u64>().unwrap().into()
    }

    fn attribute(&self, key: &str) -> Option<&AnyValue> {
        self.attributes.iter().find(|pair| pair.key == key).map(|pair| &pair.value)
    }
}

fn text(value: &str) -> AnyValue {
    AnyValue::Text(value.to_owned())
}

/// Spans with the host or other service that they are of.
type Taken = Arc<Mutex<Vec<(String, Span)>>>;

/// A collector, and what it took.
fn collector() -> (String, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, taken) = (format!("http://{}", listener.local_addr().unwrap()), Taken::default());
    let spans = taken.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let body = read_request(&mut stream.unwrap());
            let request: ExportTraceServiceRequest = serde_json::from_slice(&body).unwrap();
            spans.lock().unwrap().extend(request.resource_spans.into_iter().flat_map(of_resource));
        }
    });
    (url, taken)
}

fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_lowercase());
    }
    assert_eq!(head[0], "post /v1/traces http/1.1");
    assert!(head.contains(&"content-type: application/json".to_owned()), "{head:?}");
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    reader.into_inner().write_all(answer.as_bytes()).unwrap();
    body
}

fn of_resource(all: ResourceSpans) -> Vec<(String, Span)> {
    let attribute = |key: &str| all.resource.attributes.iter().find(|pair| pair.key == key).map(|pair| &pair.value);
    assert_eq!(attribute("service.namespace"), Some(&text("journey")));
    let Some(AnyValue::Text(service)) = attribute("service.name") else { panic!("no service.name") };
    let [ScopeSpans { scope, spans }] = <[ScopeSpans; 1]>::try_from(all.scope_spans).ok().unwrap();
    assert_eq!((scope.name.as_str(), scope.version.as_str()), ("postroad", env!("CARGO_PKG_VERSION")));
    spans.into_iter().map(|span| (service.clone(), span)).collect()
}

fn nanos(time: &Value) -> i128 {
    time.as_str().unwrap().parse::<Timestamp>().unwrap().as_nanosecond()
}

/// Whether both are the same to a microsecond.
fn is_near(one: i128, other: i128) -> bool {
    (one - other).abs() <= 1000
}

#[test]
fn journey_is_one_trace_with_a_span_for_each_event_and_phase() {
    let (url, taken) = collector();
    let folder = tempfile::tempdir().unwrap();
    let world = include_str!("../../config/journey.toml")
        .replace("mx = [\"mta-sina\"]", "mx = [\"mta-sina\", \"mta-elsewhere\"]");
    fs::write(folder.path().join("world.toml"), world).unwrap();
    let served = Served::spawn(|command| {
        command.args(["--ephemeral", "--otlp", &url]).arg(folder.path().join("world.toml"));
    });
    assert!(served.ask("POST", "/api/v1/hosts/mta-sina/off").starts_with("HTTP/1.1 200 "));
    let id = Smtp::connect(&served).send(&["friend@sina.test"], "traced");
    let journey = served.json(&format!("/api/v1/journeys/{id}?wait=30s"));
    assert_eq!(journey["settled"], true, "{journey:#}");
    let (journey, all) = eventually("the whole trace", || {
        let journey = served.json(&format!("/api/v1/journeys/{id}"));
        let taken = taken.lock().unwrap().clone();
        let root = taken.iter().find(|(_, span)| span.name == "message")?.1.span_id.clone();
        let hops = taken.iter().filter(|(_, span)| span.parent_span_id.as_ref() == Some(&root)).count();
        (hops == journey["events"].as_array()?.len()).then_some((journey, taken))
    });
    check_ids(&id, &all);
    let root = &all.iter().find(|(_, span)| span.name == "message").unwrap().1;
    let events = journey["events"].as_array().unwrap();
    assert_eq!((root.parent_span_id.as_deref(), root.status.is_none()), (None, true));
    assert_eq!(
        (root.start(), root.end()),
        (nanos(&journey["began"]), events.iter().map(|event| nanos(&event["at"])).max().unwrap())
    );
    assert_eq!(root.attribute("postroad.from"), Some(&text("me@163.test")));

    let hops: Vec<_> = all.iter().filter(|(_, span)| span.parent_span_id.as_deref() == Some(&root.span_id)).collect();
    assert_eq!(hops.len(), events.len(), "{hops:#?}");
    let mut phases = 0;
    for event in events {
        let is_it = |(host, span): &&&(String, Span)| {
            *host == event["host"] && span.name == event["step"] && span.end() == nanos(&event["at"])
        };
        let span = &hops.iter().find(is_it).unwrap_or_else(|| panic!("no span of {event:#}")).1;
        phases += check_hop(span, event, &all);
    }
    assert_eq!(all.len(), 1 + hops.len() + phases, "every span is in its place");

    let tried = &hops.iter().find(|(_, span)| span.name == "tried").unwrap().1;
    let status = tried.status.as_ref().unwrap();
    assert!(status.code == 2 && status.message.starts_with("mx.sina.test: ") && tried.kind == 3, "{tried:#?}");
    assert_eq!(tried.attribute("network.peer.address"), Some(&text("203.0.113.25")));
    assert_eq!(tried.attribute("network.peer.port"), Some(&AnyValue::Int("25".to_owned())));
    let dns = all.iter().find(|(_, span)| span.name == "dns" && span.parent_span_id.as_ref() == Some(&tried.span_id));
    let Some(AnyValue::Array(lookups)) = dns.unwrap().1.attribute("postroad.lookups") else { panic!("{dns:?}") };
    let AnyValue::Text(mx) = &lookups.values[0] else { panic!("{lookups:?}") };
    assert!(mx.starts_with("sina.test MX: 10 mx.sina.test, 20 mx.elsewhere.test ("), "{mx}");
}

/// All are of the trace of the journey, and each id is there once.
fn check_ids(journey: &str, all: &[(String, Span)]) {
    let hash = blake3::hash(journey.as_bytes()).to_hex();
    let is_hex = |id: &str| {
        id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && !id.bytes().all(|byte| byte == b'0')
    };
    assert!(
        all.iter().all(|(_, span)| span.trace_id == hash[..32] && span.span_id.len() == 16 && is_hex(&span.span_id))
    );
    let ids: BTreeSet<_> = all.iter().map(|(_, span)| &span.span_id).collect();
    assert_eq!(ids.len(), all.len());
    assert!(all.iter().all(|(_, span)| span.parent_span_id.as_ref().is_none_or(|parent| ids.contains(parent))));
}

/// The span of an event says what the event says; returns how many phases it has.
fn check_hop(span: &Span, event: &Value, all: &[(String, Span)]) -> usize {
    for key in ["to", "reason", "reply", "from", "tls"] {
        let told = span.attribute(&format!("postroad.{key}"));
        assert_eq!(told, event[key].as_str().map(text).as_ref(), "{key} of {event:#}");
    }
    let attempt = &event["attempt"];
    let children: BTreeMap<_, _> = all
        .iter()
        .filter(|(_, child)| child.parent_span_id.as_ref() == Some(&span.span_id))
        .map(|(_, child)| (child.start(), child))
        .collect();
    let names: Vec<_> = children.values().map(|child| child.name.as_str()).collect();
    let order = ["wait", "dns", "connect", "greeting", "tls", "envelope", "content", "reply"];
    let known: Vec<_> = order.into_iter().filter(|name| attempt[format!("{name}_ms")].is_number()).collect();
    assert_eq!(names, known, "{event:#}");
    let mut end = span.start();
    for child in children.values() {
        assert!(is_near(child.start(), end), "one after the other: {children:#?}");
        let ms = attempt[format!("{}_ms", child.name)].as_f64().unwrap();
        assert!(is_near(child.end() - child.start(), (ms * 1e6) as i128), "{child:#?}");
        if child.name == "wait" {
            assert!(is_near(child.end(), nanos(&attempt["began"])), "{event:#}");
        }
        end = child.end();
    }
    assert!(end <= span.end() + 1000, "the phases are within the span: {event:#}");
    children.len()
}

#[test]
fn otlp_takes_urls_of_http_only() {
    for url in ["https://127.0.0.1:4318", "127.0.0.1:4318", "http://"] {
        let served = postroad(&["serve", "--ephemeral", "--otlp", url]);
        assert_eq!(served.status.code(), Some(2), "{url}");
        assert!(err(&served).contains("such as http://127.0.0.1:4318"), "{}", err(&served));
    }
}
