//! Undoes Content-Transfer-Encoding. RFC 2045 §6, RFC 3516.

use std::borrow::Cow;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;

use super::{Part, PartContent};

/// The body of a part as it was before it was encoded; `None` when the encoding is not known or not kept to.
pub fn decode_body<'a>(part: &Part, content: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let body = content.get(part.body.range())?;
    // RFC 2045 §6.4: what is made of parts is not encoded as a whole.
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
