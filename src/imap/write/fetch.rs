//! `FETCH`. RFC 9051 §7.5.2.

use std::borrow::Cow;

use bytes::Bytes;
use jiff::Timestamp;

use super::ResponseBuffer;
use crate::imap::fetch::{BodyName, Section, SectionText};
use crate::imap::structure::Part;
use crate::imap::value::{SystemFlags, format_date_time};

/// Writes one `FETCH` response. Items are added in any order; [`FetchReply::end`] completes it.
#[must_use]
pub struct FetchReply<'a> {
    out: &'a mut ResponseBuffer,
    number: u32,
    started: bool,
}

impl ResponseBuffer {
    /// Begins the response for the message with this sequence number; the caller adds items, and completes it by
    /// [`FetchReply::end`]. Without an item, nothing is sent: RFC 9051 §7.5.2 wants at least one.
    pub fn fetch(&mut self, number: u32) -> FetchReply<'_> {
        FetchReply { out: self, number, started: false }
    }
}

impl FetchReply<'_> {
    /// Adds the name of an item, and before the first one the beginning of the response; the caller adds the value to
    /// the buffer that is returned.
    fn item(&mut self, name: &[u8]) -> &mut ResponseBuffer {
        match std::mem::replace(&mut self.started, true) {
            true => self.out.raw(b" "),
            false => self.out.raw(b"* ").number(self.number).raw(b" FETCH ("),
        };
        self.out.raw(name)
    }

    /// Adds `UID`.
    pub fn uid(&mut self, uid: u32) {
        self.item(b"UID ").number(uid);
    }

    /// Adds `MODSEQ`. RFC 7162 §3.1.4.2.
    pub fn modseq(&mut self, modseq: u64) {
        self.item(b"MODSEQ (").number(modseq).raw(b")");
    }

    /// Adds `FLAGS`: `\Recent` if `recent` is set, then the system flags and the keywords.
    pub fn flags(&mut self, system: SystemFlags, recent: bool, keywords: &[impl AsRef<str>]) {
        self.item(b"FLAGS (");
        if recent {
            let more = system != SystemFlags::NONE || !keywords.is_empty();
            self.out.text(if more { "\\Recent " } else { "\\Recent" });
        }
        self.out.flag_names(system, keywords).raw(b")");
    }

    /// Adds `INTERNALDATE`.
    pub fn internal_date(&mut self, time: Timestamp) {
        self.item(b"INTERNALDATE \"").raw(&format_date_time(time)).raw(b"\"");
    }

    /// Adds `PREVIEW`. RFC 8970 §3.1.
    pub fn preview(&mut self, text: &str) {
        self.item(b"PREVIEW ").string(text);
    }

    /// Adds `EMAILID`: the id with `M` in front. RFC 8474 §5.1.
    pub fn email_id(&mut self, id: u64) {
        self.item(b"EMAILID (M").number(id).raw(b")");
    }

    /// Adds `THREADID`: the id with `T` in front. RFC 8474 §5.2.
    pub fn thread_id(&mut self, id: u64) {
        self.item(b"THREADID (T").number(id).raw(b")");
    }

    /// Adds `SAVEDATE`. RFC 8514 §4.2.
    pub fn save_date(&mut self, time: Timestamp) {
        self.item(b"SAVEDATE \"").raw(&format_date_time(time)).raw(b"\"");
    }

    /// Adds `RFC822.SIZE`.
    pub fn size(&mut self, bytes: u64) {
        self.item(b"RFC822.SIZE ").number(bytes);
    }

    /// Adds `ENVELOPE` with these bytes, unchanged: the value with its parentheses, as in
    /// [`crate::imap::Summary::envelope`], or `NIL`.
    pub fn stored_envelope(&mut self, envelope: &[u8]) {
        self.item(b"ENVELOPE ").raw(envelope);
    }

    /// Adds `BODYSTRUCTURE` with these bytes, unchanged: the value with its parentheses, as in
    /// [`crate::imap::Summary::body_structure`], or `NIL`.
    pub fn stored_body_structure(&mut self, body_structure: &[u8]) {
        self.item(b"BODYSTRUCTURE ").raw(body_structure);
    }

    /// Adds `BODY`, which is `BODYSTRUCTURE` without extension data.
    pub fn body(&mut self, part: &Part) {
        self.item(b"BODY ").body(part, false);
    }

    /// Adds `BODY[...]` or its variant of this name: the bytes, with 0x80 for NUL, as a literal, or `NIL` if they are
    /// `None`, as for a part that does not exist. `origin` is the offset of a partial, and only written for
    /// `BODY[...]`.
    pub fn section(&mut self, name: BodyName, section: &Section, origin: Option<u32>, bytes: Option<&[Bytes]>) {
        match name {
            BodyName::Body => {
                self.item(b"BODY[").section(section);
                self.close_section(origin);
            }
            BodyName::Rfc822 => {
                self.item(b"RFC822");
            }
            BodyName::Rfc822Header => {
                self.item(b"RFC822.HEADER");
            }
            BodyName::Rfc822Text => {
                self.item(b"RFC822.TEXT");
            }
        }
        self.out.raw(b" ");
        match bytes {
            Some(pieces) => self.out.shared_literal(&without_nul(pieces)),
            None => self.out.raw(b"NIL"),
        };
    }

    /// Adds `BINARY[...]`: the decoded bytes as a literal, or as a literal8 if they have NUL, or `NIL` if they are
    /// `None`, as for a part that does not exist; `origin` is the offset of a partial. RFC 3516 §4.2.
    pub fn binary(&mut self, part: &[u32], origin: Option<u32>, bytes: Option<&[Bytes]>) {
        self.item(b"BINARY[").part(part);
        self.close_section(origin);
        self.out.raw(b" ");
        match bytes {
            Some(pieces) => {
                if pieces.iter().any(|piece| piece.contains(&0)) {
                    self.out.raw(b"~");
                }
                self.out.shared_literal(pieces)
            }
            None => self.out.raw(b"NIL"),
        };
    }

    /// Adds `BINARY.SIZE[...]`: the size of the decoded part, in bytes.
    pub fn binary_size(&mut self, part: &[u32], bytes: u64) {
        self.item(b"BINARY.SIZE[").part(part).raw(b"] ").number(bytes);
    }

    /// Writes the `]` behind a section, and `<origin>` for a partial.
    fn close_section(&mut self, origin: Option<u32>) {
        self.out.raw(b"]");
        if let Some(origin) = origin {
            self.out.raw(b"<").number(origin).raw(b">");
        }
    }

    /// Completes the response, after its last item; nothing is sent if it has no item.
    pub fn end(self) {
        if self.started {
            self.out.raw(b")").end();
        }
    }
}

/// Returns the pieces with 0x80 for each NUL. Only a literal8 may hold NUL (RFC 9051 §4.3, §9), so 0x80 stands for it,
/// as in other servers; `BINARY` returns it.
fn without_nul(pieces: &[Bytes]) -> Cow<'_, [Bytes]> {
    if !pieces.iter().any(|piece| piece.contains(&0)) {
        return Cow::Borrowed(pieces);
    }
    let masked = |piece: &Bytes| piece.iter().map(|byte| if *byte == 0 { 0x80 } else { *byte }).collect();
    Cow::Owned(pieces.iter().map(masked).collect())
}

impl ResponseBuffer {
    /// Writes part numbers with dots between them; nothing if there are none.
    fn part(&mut self, part: &[u32]) -> &mut Self {
        for (at, number) in part.iter().enumerate() {
            self.raw(if at == 0 { b"" } else { b"." }).number(*number);
        }
        self
    }

    /// Writes a section without its brackets, as in `1.2.HEADER`. RFC 9051 §9 (section).
    fn section(&mut self, section: &Section) {
        self.part(&section.part);
        if !section.part.is_empty() && section.text != SectionText::All {
            self.raw(b".");
        }
        match &section.text {
            SectionText::All => {}
            SectionText::Header => {
                self.raw(b"HEADER");
            }
            SectionText::Text => {
                self.raw(b"TEXT");
            }
            SectionText::Mime => {
                self.raw(b"MIME");
            }
            SectionText::HeaderFields { not, names } => {
                self.raw(if *not { b"HEADER.FIELDS.NOT (" } else { b"HEADER.FIELDS (" });
                for (at, name) in names.iter().enumerate() {
                    self.raw(if at == 0 { b"" } else { b" " }).astring(name);
                }
                self.raw(b")");
            }
        }
    }
}
