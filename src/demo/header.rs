//! The header of an HTTP response: status, fields and framing of the body. RFC 9110, 9112.

/// Status line and fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The header as received, with LF line ends.
    pub text: String,
    /// The status code. RFC 9110 §15.
    pub status: u16,
    /// Names and values, in order.
    pub fields: Vec<(String, String)>,
}

/// Why a response is malformed or incomplete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first line is not an HTTP status line.
    #[error("the peer does not speak HTTP")]
    NotHttp,
    /// The connection ended before the header did.
    #[error("the connection ended within the header")]
    NoHeader,
    /// A line is not `name: value`.
    #[error("`{0}` is not a header field")]
    BadField(String),
    /// The header exceeds the limit.
    #[error("the header is too long")]
    HeaderTooLong,
    /// RFC 9112 §6.3: not a number, or two different ones.
    #[error("invalid Content-Length `{0}`")]
    BadLength(String),
    /// RFC 9112 §6.1: only `chunked` is supported.
    #[error("unsupported transfer coding `{0}`")]
    UnknownCoding(String),
    /// RFC 9112 §7.1.
    #[error("malformed chunk")]
    BadChunk,
    /// RFC 9112 §8; with the number of missing bytes, if it is known.
    #[error("the body is incomplete: the connection ended{}", .0.map(|left| format!(" {left} bytes early")).unwrap_or_default())]
    Short(Option<u64>),
}

/// How the end of the body is determined. RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Header {
    /// Parses the lines before the empty one, with LF or CR LF at their ends: the status line, then fields. Folded
    /// lines are joined by a space.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut lines = text.lines();
        let status = lines.next().and_then(status).ok_or(Malformed::NotHttp)?;
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            match fields.last_mut() {
                // RFC 9112 §5.2: an obsolete line folding counts as a space.
                Some((_, value)) if line.starts_with([' ', '\t']) => {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                _ => fields.push(field(line).ok_or_else(|| Malformed::BadField(line.chars().take(80).collect()))?),
            }
        }
        Ok(Self { text: text.to_owned(), status, fields })
    }

    /// The values of all fields with this name, in order; the name is case-insensitive.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let wanted = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.fields.iter().filter(wanted).map(|(_, value)| value.as_str())
    }

    /// The framing of the body that the status and the fields announce, for a response to GET: empty for 204 and 304,
    /// else by Transfer-Encoding, else by Content-Length, else until the end of the connection. An error if the coding
    /// is unknown, or the length is no number or has two values.
    pub(super) fn framing(&self) -> Result<Framing, Malformed> {
        if matches!(self.status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        let codings: Vec<_> = self.values("Transfer-Encoding").collect();
        let codings = codings.join(", ");
        // RFC 9112 §6.3: Transfer-Encoding overrides Content-Length.
        if codings.eq_ignore_ascii_case("chunked") {
            return Ok(Framing::Chunked);
        }
        if !codings.is_empty() {
            return Err(Malformed::UnknownCoding(codings));
        }
        let mut lengths = self.values("Content-Length").flat_map(|value| value.split(',')).map(str::trim);
        let Some(first) = lengths.next() else { return Ok(Framing::UntilClose) };
        let invalid = |value: &str| Malformed::BadLength(value.to_owned());
        if let Some(other) = lengths.find(|other| *other != first) {
            return Err(invalid(other));
        }
        match first.bytes().all(|byte| byte.is_ascii_digit()) {
            true => first.parse().map(Framing::Length).map_err(|_| invalid(first)),
            false => Err(invalid(first)),
        }
    }
}

/// The code of a status line such as `HTTP/1.1 200 OK`; the phrase may be missing. `None` for any other line, or
/// another version than HTTP/1. RFC 9112 §4.
fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.strip_prefix("HTTP/1.")?.split_once(' ')?;
    let code = rest.split(' ').next()?;
    let is_code = code.len() == 3 && version.len() == 1 && code.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then(|| code.parse().ok()).flatten()
}

/// The name and the trimmed value of a field; `None` without a name or a colon, or with white space in or after the
/// name. RFC 9112 §5.
fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let is_name = !name.is_empty() && !name.contains([' ', '\t']);
    is_name.then(|| (name.to_owned(), value.trim().to_owned()))
}
