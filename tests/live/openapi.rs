//! The OpenAPI document of the served interface: real answers have the form that it says.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Served, err, eventually, postroad};

/// Holds a value against a schema; returns the names that its members may have, if they are limited.
fn fit(document: &Value, schema: &Value, value: &Value) -> Result<Option<BTreeSet<String>>, String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).ok_or(format!("{reference} is missing"))?;
        return fit(document, target, value);
    }
    if let Some(all) = schema["allOf"].as_array() {
        let parts = all.iter().map(|part| fit(document, part, value)).collect::<Result<Option<Vec<_>>, _>>()?;
        return Ok(parts.map(|parts| parts.into_iter().flatten().collect()));
    }
    if let Some(some) = schema["oneOf"].as_array() {
        let fits: Vec<_> = some.iter().map(|one| fit(document, one, value)).collect();
        return fits.iter().find_map(|fit| fit.clone().ok()).ok_or_else(|| format!("{value} fits none of {fits:?}"));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        return Err(format!("{value} is none of {allowed:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) if kinds.contains(&"number") => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.is_empty() && !kinds.contains(&kind) {
        return Err(format!("{value} is not of {kinds:?}"));
    }
    if let Some(items) = value.as_array().filter(|_| schema["items"].is_object()) {
        items.iter().try_for_each(|item| check(document, &schema["items"], item))?;
    }
    let Some(members) = value.as_object() else { return Ok(None) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        members.get(name).ok_or_else(|| format!("{name} is missing in {value}"))?;
    }
    let others = schema["additionalProperties"].as_object();
    let Some(known) = schema["properties"].as_object() else {
        if others.is_some() {
            members.values().try_for_each(|member| check(document, &schema["additionalProperties"], member))?;
        }
        return Ok(None);
    };
    for (name, schema) in known {
        members.get(name).map_or(Ok(()), |member| check(document, schema, member))?;
    }
    Ok(Some(known.keys().cloned().collect()))
}

fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let (known, members) = (fit(document, schema, value)?, value.as_object());
    let strange =
        members.zip(known).and_then(|(members, known)| members.keys().find(|name| !known.contains(*name)).cloned());
    strange.map_or(Ok(()), |name| Err(format!("{name} is not in the schema of {value}")))
}

#[test]
fn http_answers_have_the_form_that_the_openapi_document_says() {
    let served = Served::ephemeral();
    let document = served.json("/api/openapi.json");
    let send = |to: &str, subject: &str| {
        let sent = postroad(&[
            "send",
            "--server",
            served.at("smtp"),
            "--from",
            "me@163.test",
            "--to",
            to,
            "--subject",
            subject,
        ]);
        assert!(sent.status.success(), "{}", err(&sent));
    };
    send("nobody@sina.test", "it bounces");
    eventually("the bounce", || served.json("/api/v1/journeys").to_string().contains("failed").then_some(()));
    let fault = ["fault", "begin", "--control", served.at("http"), "off", "host=mda-sina", "startup=1s"];
    assert!(postroad(&fault).status.success());
    send("friend@sina.test", "it waits");
    send("who@elsewhere.example", "it arrives");
    let has = |query: &str| served.json(&format!("/api/v1/journeys?{query}"))["total"] != 0;
    let journeys = eventually("deliveries", || {
        let journeys = served.json("/api/v1/journeys");
        let is_waiting = journeys.to_string().contains("deferred");
        (is_waiting && has("to=who@elsewhere.example&settled=true")).then_some(journeys)
    });
    for journey in journeys["journeys"].as_array().unwrap() {
        let id = journey["id"].as_str().unwrap();
        for (path, real) in [
            ("/api/v1/journeys/{id}", format!("/api/v1/journeys/{id}")),
            ("/api/v1/message/{id}", format!("/api/v1/message/{id}")),
            ("/api/v1/message/{id}/headers", format!("/api/v1/message/{id}/headers")),
            ("/api/v1/message/{id}/link-check", format!("/api/v1/message/{id}/link-check")),
        ] {
            holds(&served, &document, path, &real);
        }
    }
    let queued = served.json("/api/v1/queue")["messages"][0]["id"].as_str().unwrap().to_owned();
    holds(&served, &document, "/api/v1/queue/{what}", &format!("/api/v1/queue/{queued}"));
    holds(&served, &document, "/api/v1/queue", "/api/v1/queue?limit=1");
    holds(&served, &document, "/api/v1/messages", "/api/v1/messages?limit=1");
    holds(&served, &document, "/api/v1/search", "/api/v1/search?query=it");
    let account = "account=who@elsewhere.example&mailbox=INBOX";
    holds(&served, &document, "/api/v1/mailboxes/messages", &format!("/api/v1/mailboxes/messages?{account}"));
    for path in
        ["hosts", "queue", "mailboxes", "ports", "journeys", "events", "faults", "tags", "info", "webui", "chaos"]
    {
        let path = format!("/api/v1/{path}");
        holds(&served, &document, &path, &path);
    }
    // And what is in no schema is noticed.
    let schema = &document["components"]["schemas"]["JourneyReport"];
    assert!(check(&document, schema, &serde_json::json!({ "id": 1 })).is_err());
    let error = serde_json::from_str(served.ask("GET", "/nowhere").split_once("\r\n\r\n").unwrap().1).unwrap();
    check(&document, &document["components"]["schemas"]["Problem"], &error).unwrap();
}

/// Asks a path, and holds the answer against the schema of its operation.
fn holds(served: &Served, document: &Value, path: &str, real: &str) {
    let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{path} has no schema");
    check(document, schema, &served.json(real)).unwrap_or_else(|error| panic!("{real}: {error}"));
}
