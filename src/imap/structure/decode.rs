//! Decodes Content-Transfer-Encoding. RFC 2045 §6, RFC 3516.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::{Part, PartContent};

/// The decoded body of a part; `None` if the encoding is unknown or invalid.
pub fn decode_body<'a>(part: &Part, content: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let body = content.get(part.body.range())?;
    // RFC 2045 §6.4: composite types have no transfer encoding of their own.
    if part.content != PartContent::Leaf {
        return Some(body.into());
    }
    match part.encoding.as_deref() {
        None | Some("7BIT" | "8BIT" | "BINARY") => Some(body.into()),
        Some("BASE64") => base64_decode(body).map(Cow::from),
        Some("QUOTED-PRINTABLE") => quoted_printable_decode(body).map(Cow::from),
        Some(_) => None,
    }
}
