//! SASL messages as lines of text: base64 with two special forms. RFC 4954 §4 (SMTP), RFC 5034 §4 (POP3),
//! RFC 9051 §6.2.2 (IMAP).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why a line of the client carries no response. The exchange ends and the server answers with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The client gave up: `*`.
    #[error("the client cancelled the exchange")]
    Cancelled,
    /// Not base64.
    #[error("not base64")]
    Malformed,
}

/// The response in a line that the client sent during the exchange, without its line end.
///
/// # Errors
/// The client cancelled, or the line is not base64.
pub fn response(line: &[u8]) -> Result<Vec<u8>, Unusable> {
    if line == b"*" {
        return Err(Unusable::Cancelled);
    }
    STANDARD.decode(line).map_err(|_| Unusable::Malformed)
}

/// The response that came with the command itself; there `=` stands for an empty one.
///
/// # Errors
/// As [`response`].
///
/// ```
/// use postroad::auth::line;
/// assert_eq!(line::initial(b"="), Ok(vec![]));
/// assert_eq!(line::initial(b"Zm9v"), Ok(b"foo".to_vec()));
/// assert_eq!(line::response(b"*"), Err(line::Unusable::Cancelled));
/// ```
pub fn initial(argument: &[u8]) -> Result<Vec<u8>, Unusable> {
    if argument == b"=" { Ok(Vec::new()) } else { response(argument) }
}

/// A challenge or response as text for the wire.
pub fn encode(message: &[u8]) -> String {
    STANDARD.encode(message)
}

/// An initial response as the argument of the command; an empty one is `=`.
pub fn encode_initial(message: &[u8]) -> String {
    if message.is_empty() { "=".to_owned() } else { encode(message) }
}
