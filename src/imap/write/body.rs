//! `BODY` and `BODYSTRUCTURE`. RFC 9051 §7.5.2, §9 (body).

use super::ResponseBuffer;
use crate::imap::structure::{Disposition, Part, PartContent};

impl ResponseBuffer {
    /// Writes the structure of a part, in parentheses: as in `BODYSTRUCTURE` if `extensible` is set, else as in `BODY`.
    pub(crate) fn body(&mut self, part: &Part, extensible: bool) {
        self.text("(");
        match &part.content {
            PartContent::Multipart(parts) => {
                for part in parts {
                    self.body(part, extensible);
                }
                self.text(" ").string(&part.subtype);
                if extensible {
                    self.text(" ").parameters(&part.parameters);
                    self.disposition(part);
                }
            }
            content => {
                self.single(part);
                if let PartContent::Message(message) = content {
                    self.text(" ").envelope(&message.envelope);
                    self.text(" ").body(&message.part, extensible);
                }
                if part.counts_lines() {
                    self.text(" ").number(part.lines);
                }
                if extensible {
                    self.text(" ").nstring(part.md5.as_deref());
                    self.disposition(part);
                }
            }
        }
        self.text(")");
    }

    /// Writes the values that every part except a multipart has, from type to size. RFC 9051 §9 (body-fields).
    fn single(&mut self, part: &Part) {
        self.string(&part.kind).text(" ").string(&part.subtype).text(" ").parameters(&part.parameters);
        self.text(" ").nstring(part.id.as_deref()).text(" ").nstring(part.description.as_deref());
        self.text(" ").string(part.encoding.as_deref().unwrap_or("7BIT")).text(" ").number(part.body.len() as u64);
    }

    /// Writes disposition, languages and location, each after a space, `NIL` for one that is missing. RFC 9051 §9
    /// (body-ext-1part, body-ext-mpart).
    fn disposition(&mut self, part: &Part) {
        match &part.disposition {
            None => self.text(" NIL"),
            Some(Disposition { kind, parameters }) => {
                self.text(" (").string(kind).text(" ").parameters(parameters).text(")")
            }
        };
        match part.languages.as_slice() {
            [] => self.text(" NIL"),
            languages => {
                for (at, language) in languages.iter().enumerate() {
                    self.text(if at == 0 { " (" } else { " " }).string(language);
                }
                self.text(")")
            }
        };
        self.text(" ").nstring(part.location.as_deref());
    }

    /// Writes parameters as a list in parentheses, or `NIL` if there are none. RFC 9051 §9 (body-fld-param).
    fn parameters(&mut self, parameters: &[(String, String)]) -> &mut Self {
        if parameters.is_empty() {
            return self.text("NIL");
        }
        for (at, (name, value)) in parameters.iter().enumerate() {
            self.text(if at == 0 { "(" } else { " " }).string(name).text(" ").string(value);
        }
        self.text(")")
    }
}
