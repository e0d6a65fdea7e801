//! SASL messages as text lines: base64, plus `*` and `=`. RFC 4954 §4 (SMTP), RFC 5034 §4 (POP3),
//! RFC 9051 §6.2.2 (IMAP).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Why a client line is not a response. The exchange ends and the server replies with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The client cancelled the exchange with `*`.
    #[error("the client cancelled the exchange")]
    Cancelled,
    /// Not base64.
    #[error("not base64")]
    Malformed,
}

/// Decodes the response in a client line, given without its line end.
///
/// # Errors
/// The client cancelled, or the line is not base64.
pub fn response(line: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if line == b"*" {
        return Err(DecodeError::Cancelled);
    }
    STANDARD.decode(line).map_err(|_| DecodeError::Malformed)
}

/// Decodes the initial response that a command has as its argument: base64, where `=` means an empty one.
///
/// # Errors
/// As [`response`].
///
/// ```
/// use postroad::auth::line;
/// assert_eq!(line::initial(b"="), Ok(vec![]));
/// assert_eq!(line::initial(b"Zm9v"), Ok(b"foo".to_vec()));
/// assert_eq!(line::response(b"*"), Err(line::DecodeError::Cancelled));
/// ```
pub fn initial(argument: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if argument == b"=" { Ok(Vec::new()) } else { response(argument) }
}

/// Encodes a challenge or response in base64, without line end.
pub fn encode(message: &[u8]) -> String {
    STANDARD.encode(message)
}

/// Encodes an initial response as command argument; an empty one is `=`.
pub fn encode_initial(message: &[u8]) -> String {
    if message.is_empty() { "=".to_owned() } else { encode(message) }
}
