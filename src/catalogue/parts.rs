//! The MIME parts of a message, numbered as clients of test servers name them: `1`, `2`, and `1.2` within the first.

use mail_parser::{Message, MessagePart, MimeHeaders, PartType};

/// A part that is not a multipart.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// Its number; `0` for the only one.
    pub id: String,
    /// The part.
    pub part: &'a MessagePart<'a>,
    /// Whether the message shows it as its text.
    pub is_body: bool,
}

/// How a file belongs to its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Beside the text.
    Attached,
    /// Shown in it.
    Inline,
}

/// Returns all parts that are no multipart, in the order of the message, each with its number; an attached message is
/// one part, and is not looked into.
pub fn parts<'a>(message: &'a Message<'a>) -> Vec<Part<'a>> {
    let mut found = Vec::new();
    // Explicit, since a message may nest as deep as it likes; each part is met once.
    let mut open = vec![(0_u32, String::new())];
    while let Some((at, id)) = open.pop() {
        let Some(part) = message.part(at) else { continue };
        match &part.body {
            PartType::Multipart(children) => {
                let named = |(number, child): (usize, &u32)| {
                    let number = number + 1;
                    (*child, if id.is_empty() { number.to_string() } else { format!("{id}.{number}") })
                };
                // The last is taken first.
                open.extend(children.iter().enumerate().map(named).rev());
            }
            _ => {
                let is_body = message.text_body.contains(&at) || message.html_body.contains(&at);
                found.push(Part { id: if id.is_empty() { "0".to_owned() } else { id }, part, is_body });
            }
        }
    }
    found
}

impl Part<'_> {
    /// Returns the file name; the content id if the part has none, and an empty name if it has neither.
    pub fn name(&self) -> &str {
        self.part.attachment_name().or_else(|| self.part.content_id()).unwrap_or_default()
    }

    /// Returns the media type, in lower case; `text/plain` if none is declared.
    pub fn media_type(&self) -> String {
        let kind = self.part.content_type().map(|kind| match kind.subtype() {
            Some(subtype) => format!("{}/{subtype}", kind.ctype()),
            None => kind.ctype().to_owned(),
        });
        kind.map_or_else(|| "text/plain".to_owned(), |kind| kind.to_ascii_lowercase())
    }

    /// Returns how the part is listed as a file: `Inline` if its disposition is `inline`, or it has a content id and no
    /// disposition, else `Attached`. `None` if it is no file: it has neither a name nor a content id, or is text of the
    /// message without a name and not of disposition `attachment`.
    pub fn placement(&self) -> Option<Placement> {
        let has_name = self.part.attachment_name().is_some();
        let disposition = self.part.content_disposition();
        let is_attached = disposition.is_some_and(|disposition| disposition.is_attachment());
        let is_text = matches!(self.part.body, PartType::Text(_) | PartType::Html(_)) && self.is_body;
        if is_text && !has_name && !is_attached || !has_name && self.part.content_id().is_none() {
            return None;
        }
        let is_shown = disposition.is_some_and(|disposition| disposition.is_inline())
            || disposition.is_none() && self.part.content_id().is_some();
        Some(if is_shown && !is_attached { Placement::Inline } else { Placement::Attached })
    }
}
