//! `/api/v1/faults/kinds`: the kinds of faults with their fields, from which forms are made.

use serde::Serialize;

use super::problem::Json;

/// A kind of fault.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct FaultKind {
    /// The value of `kind`.
    kind: &'static str,
    /// What it does.
    title: &'static str,
    fields: &'static [Field],
}

/// A field of a fault.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Field {
    name: &'static str,
    #[serde(flatten)]
    form: Form,
    is_required: bool,
    /// What it means.
    help: &'static str,
    /// What a form shows at first.
    #[serde(skip_serializing_if = "str::is_empty")]
    example: &'static str,
}

/// The values that a field may have.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Form {
    /// The name of a host with one of these roles.
    Host {
        roles: &'static [&'static str],
    },
    /// Two hosts, or a host and `outside`.
    Link,
    /// Such as `30s`.
    Duration,
    Number,
    Text,
    Choice {
        values: &'static [&'static str],
    },
}

/// Returns a field that may be left out; `example` is what a form shows at first, nothing if it is empty.
const fn field(name: &'static str, form: Form, help: &'static str, example: &'static str) -> Field {
    Field { name, form, is_required: false, help, example }
}

/// Returns a field that must be given; `example` is what a form shows at first, nothing if it is empty.
const fn required(name: &'static str, form: Form, help: &'static str, example: &'static str) -> Field {
    Field { name, form, is_required: true, help, example }
}

const RUNNING: Form = Form::Host { roles: &["mta", "mda", "dns"] };
const SERVER: Form = Form::Host { roles: &["mta", "mda"] };
const HOST: Field = required("host", SERVER, "the host", "");
const BETWEEN: Field = required("between", Form::Link, "the two ends; outside is where real clients are", "");
const DIRECTION: Field =
    field("direction", Form::Choice { values: &["both", "there"] }, "there: only from the first to the second", "both");
const STARTUP: Field =
    field("startup", Form::Duration, "once on again, how long it accepts connections without answering", "");

const KINDS: &[FaultKind] = &[
    FaultKind { kind: "off", title: "a host is off", fields: &[required("host", RUNNING, "the host", ""), STARTUP] },
    FaultKind {
        kind: "crash",
        title: "a host crashes; what was not committed is lost",
        fields: &[required("host", RUNNING, "the host", ""), STARTUP],
    },
    FaultKind {
        kind: "reply",
        title: "a server gives a reply of yours",
        fields: &[
            HOST,
            required(
                "at",
                Form::Choice { values: &["rcpt", "mail", "data", "greeting", "hello", "auth", "stored"] },
                "at which point of the session",
                "rcpt",
            ),
            field("reply", Form::Text, "the reply; without one, the connection is closed", "451 4.7.1 try again later"),
            field("about", Form::Text, "only for addresses with this ending", ""),
            field("share", Form::Number, "the probability, from 0 to 1", ""),
        ],
    },
    FaultKind {
        kind: "greylist",
        title: "a server defers unknown clients",
        fields: &[HOST, required("wait", Form::Duration, "how long they are deferred", "5min")],
    },
    FaultKind { kind: "refuse", title: "connections are refused", fields: &[BETWEEN, DIRECTION] },
    FaultKind { kind: "cut", title: "nothing gets through a link", fields: &[BETWEEN, DIRECTION] },
    FaultKind {
        kind: "slow",
        title: "a link is slow",
        fields: &[
            BETWEEN,
            DIRECTION,
            field("latency", Form::Duration, "added latency", "500ms"),
            field("jitter", Form::Duration, "the most that chance adds to it", ""),
            field("bandwidth", Form::Number, "bytes a second; 0 for no limit", ""),
        ],
    },
    FaultKind {
        kind: "stall",
        title: "after some bytes, nothing more arrives",
        fields: &[BETWEEN, DIRECTION, field("after", Form::Number, "bytes that still arrive", "100")],
    },
    FaultKind {
        kind: "reset",
        title: "after some bytes, a connection is reset",
        fields: &[BETWEEN, DIRECTION, required("after", Form::Number, "bytes that still arrive", "100")],
    },
    FaultKind {
        kind: "tls",
        title: "a certificate is wrong",
        fields: &[
            HOST,
            required(
                "certificate",
                Form::Choice { values: &["expired", "wrong-name", "absent"] },
                "what it presents",
                "expired",
            ),
        ],
    },
    FaultKind {
        kind: "dns",
        title: "name servers are wrong",
        fields: &[
            required(
                "names",
                Form::Choice {
                    values: &["server-failure", "silent", "no-such-name", "slow", "wrong", "moved", "stale"],
                },
                "what they do",
                "server-failure",
            ),
            field("about", Form::Text, "only for names with this ending", ""),
            field("by", Form::Duration, "slow: the delay of answers", ""),
            field(
                "host",
                Form::Host { roles: &["mta", "mda", "dns", "mua"] },
                "wrong: whose address is given; moved: the new mail host",
                "",
            ),
        ],
    },
    FaultKind { kind: "disk-full", title: "a disk is full", fields: &[HOST] },
    FaultKind { kind: "disk-failing", title: "a disk fails every write", fields: &[HOST] },
    FaultKind {
        kind: "disk-slow",
        title: "a disk is slow",
        fields: &[HOST, required("by", Form::Duration, "the delay of each commit", "200ms")],
    },
];

/// The kinds of faults with their fields.
#[utoipa::path(get, path = "/api/v1/faults/kinds", tag = "faults", responses((status = 200, body = Vec<FaultKind>)))]
pub(super) async fn list() -> Json<&'static [FaultKind]> {
    Json(KINDS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::host::Fault;

    /// A value that a form would send.
    fn value(field: &Field) -> Value {
        match &field.form {
            Form::Host { .. } => json!("mta-relay"),
            Form::Link => json!(["mta-relay", "mta-sina"]),
            Form::Duration => json!("1s"),
            Form::Number => json!(1),
            Form::Text => json!("450 4.2.0 x"),
            Form::Choice { values } => json!(values.first()),
        }
    }

    fn fault<'a>(kind: &FaultKind, fields: impl Iterator<Item = &'a Field>) -> Result<Fault, serde_json::Error> {
        let fields = fields.map(|field| (field.name.to_owned(), value(field)));
        serde_json::from_value(Value::Object(fields.chain([("kind".to_owned(), json!(kind.kind))]).collect()))
    }

    #[test]
    fn fault_kinds_are_read_with_all_fields_and_with_the_required_ones() {
        for kind in KINDS {
            fault(kind, kind.fields.iter()).unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
            fault(kind, kind.fields.iter().filter(|field| field.is_required))
                .unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
            for left_out in kind.fields.iter().filter(|field| field.is_required) {
                let others = kind.fields.iter().filter(|field| field.name != left_out.name);
                assert!(fault(kind, others).is_err(), "{} without {}", kind.kind, left_out.name);
            }
            for field in kind.fields {
                let Form::Choice { values } = &field.form else { continue };
                for choice in *values {
                    let mut text = serde_json::to_value(fault(kind, kind.fields.iter()).unwrap()).unwrap();
                    text[field.name] = json!(choice);
                    serde_json::from_value::<Fault>(text).unwrap_or_else(|error| panic!("{}: {error}", kind.kind));
                }
            }
        }
    }

    #[test]
    fn fault_kinds_are_all_that_there_are() {
        let error = serde_json::from_value::<Fault>(json!({ "kind": "none" })).unwrap_err().to_string();
        let known: Vec<_> = error.split('`').skip(3).step_by(2).collect();
        assert!(known.len() > 10, "{error}");
        for name in known {
            assert!(KINDS.iter().any(|kind| kind.kind == name), "{name} is missing");
        }
        assert_eq!(KINDS.len(), error.split('`').skip(3).step_by(2).count());
    }
}
