//! How people write durations in files: `"30min"`, `"1h 30m"`, `"250ms"`, `"5 days"`; a day has 24 hours. For serde's
//! `with`, too.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Reads what people write.
///
/// # Errors
/// It is no duration; the text says so.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as \"30min\", \"250ms\" or \"5 days\"");
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}

/// For serde.
///
/// # Errors
/// As [`parse`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// For serde, in milliseconds.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}ms", time.as_millis()))
}
