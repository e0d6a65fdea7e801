//! Extracts the bytes of a section. RFC 9051 §6.4.5.1.

use bytes::Bytes;

use super::{Part, PartContent, Span, Structure, fields};
use crate::imap::fetch::{Section, SectionText};
use crate::mail::Message;

/// The part at a path, or the message itself.
enum Found<'a> {
    Root(&'a Structure),
    Part { part: &'a Part, is_root: bool },
}

impl Structure {
    /// The bytes of a section, in pieces; `None` if the part does not exist.
    pub fn section(&self, section: &Section, message: &Message) -> Option<Vec<Bytes>> {
        let slice = |span: Span| message.content.bytes().slice(span.range());
        let under_trace = |is_root: bool, span: Span| match is_root {
            true => vec![message.trace.clone(), slice(span)],
            false => vec![slice(span)],
        };
        let (message, is_root) = match (self.find(&section.part)?, &section.text) {
            (Found::Root(_), SectionText::All) => return Some(message.pieces().to_vec()),
            (Found::Root(message), _) => (message, true),
            (Found::Part { part, .. }, SectionText::All) => return Some(vec![slice(part.body)]),
            (Found::Part { part, is_root }, SectionText::Mime) => return Some(under_trace(is_root, part.header)),
            (Found::Part { part, .. }, _) => match &part.content {
                PartContent::Message(message) => (message.as_ref(), false),
                _ => return None,
            },
        };
        match &section.text {
            SectionText::Header => Some(under_trace(is_root, message.part.header)),
            SectionText::Text => Some(vec![slice(message.part.body)]),
            SectionText::HeaderFields { not, names } => {
                let header = under_trace(is_root, message.part.header);
                Some(vec![pick(&header, names, *not)])
            }
            SectionText::All | SectionText::Mime => None,
        }
    }

    /// The part at a path of numbers; `None` if it does not exist.
    pub fn part(&self, path: &[u32]) -> Option<&Part> {
        match self.find(path)? {
            Found::Root(message) => Some(&message.part),
            Found::Part { part, .. } => Some(part),
        }
    }

    /// RFC 9051 §6.4.5.1: every message has at least one part, itself if it is not multipart.
    fn find(&self, path: &[u32]) -> Option<Found<'_>> {
        let mut found: Option<&Part> = None;
        for number in path {
            let around = match found {
                None => &self.part,
                Some(part) => match &part.content {
                    PartContent::Message(message) => &message.part,
                    PartContent::Multipart(_) => part,
                    PartContent::Leaf => return None,
                },
            };
            found = match &around.content {
                PartContent::Multipart(parts) => Some(parts.get((*number as usize).checked_sub(1)?)?),
                _ if *number == 1 => Some(around),
                _ => return None,
            };
        }
        Some(match found {
            None => Found::Root(self),
            Some(part) => Found::Part { part, is_root: std::ptr::eq(part, &self.part) },
        })
    }
}

/// The named fields, or all others, and an empty line. RFC 9051 §6.4.5.1.
fn pick(header: &[Bytes], names: &[String], not: bool) -> Bytes {
    let mut picked = Vec::new();
    for field in header.iter().flat_map(|piece| fields(piece)) {
        if names.iter().any(|name| field.is(name)) != not {
            picked.extend_from_slice(field.whole);
            if !field.whole.ends_with(b"\n") {
                picked.extend_from_slice(b"\r\n");
            }
        }
    }
    picked.extend_from_slice(b"\r\n");
    picked.into()
}

/// The range `<first.count>` of the bytes, empty beyond their end. RFC 9051 §6.4.5.
pub fn partial(pieces: &[Bytes], (first, count): (u32, u32)) -> Vec<Bytes> {
    let (mut skip, mut left) = (first as usize, count as usize);
    let mut kept = Vec::new();
    for piece in pieces {
        let start = skip.min(piece.len());
        let end = piece.len().min(start.saturating_add(left));
        skip -= start;
        left -= end - start;
        if start < end {
            kept.push(piece.slice(start..end));
        }
    }
    kept
}
