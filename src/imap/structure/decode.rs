//! Decodes Content-Transfer-Encoding. RFC 2045 §6, RFC 3516.

use std::borrow::Cow;

use super::{Part, PartContent};
use crate::mail::{decode_base64, decode_quoted_printable};

/// Returns the body of a part, decoded by its Content-Transfer-Encoding as far as that is possible. `None` if the
/// encoding is unknown, or if the content ends before the body does. The body of a multipart or a message is returned
/// as it is.
pub fn decode_body<'a>(part: &Part, content: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let body = content.get(part.body.range())?;
    // RFC 2045 §6.4: composite types have no transfer encoding of their own.
    if part.content != PartContent::Leaf {
        return Some(body.into());
    }
    match part.encoding.as_deref() {
        None | Some("7BIT" | "8BIT" | "BINARY") => Some(body.into()),
        Some("BASE64") => Some(decode_base64(body).into()),
        Some("QUOTED-PRINTABLE") => Some(decode_quoted_printable(body).into()),
        Some(_) => None,
    }
}
