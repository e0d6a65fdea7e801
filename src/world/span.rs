//! Durations in files: `"30min"`, `"1h 30m"`, `"250ms"`, `"5 days"`; a day has 24 hours. Also for serde's `with`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Parses a duration such as `30min`, `1h 30m` or `5 days`; a day has 24 hours.
///
/// # Errors
/// The text is not a duration; the error says so.
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is not a duration such as \"30min\", \"250ms\" or \"5 days\"");
    let span: jiff::Span = text.parse().map_err(|_| invalid())?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| invalid())?;
    Duration::try_from(time).map_err(|_| invalid())
}

/// Deserializes a duration from text, as [`parse`] reads it.
///
/// # Errors
/// As [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Serializes a duration as text in whole milliseconds, such as `"250ms"`.
///
/// # Errors
/// The serializer failed.
pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}ms", time.as_millis()))
}
