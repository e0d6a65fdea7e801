//! `ENVELOPE`. RFC 9051 §7.5.2.

use super::ResponseBuffer;
use crate::imap::structure::{AddressList, Envelope, EnvelopeAddress};

impl ResponseBuffer {
    /// Writes the value of `ENVELOPE`, in parentheses. An empty Sender or Reply-To is replaced by From; other fields
    /// that are missing are `NIL`.
    pub(crate) fn envelope(&mut self, envelope: &Envelope) {
        let Envelope { date, subject, from, sender, reply_to, to, cc, bcc, in_reply_to, message_id } = envelope;
        self.text("(").nstring(date.as_deref()).text(" ").nstring(subject.as_deref());
        // RFC 9051 §7.5.2: Sender and Reply-To default to From.
        let [sender, reply_to] = [sender, reply_to].map(|list| if list.is_empty() { from } else { list });
        for list in [from, sender, reply_to, to, cc, bcc] {
            self.text(" ").addresses(list);
        }
        self.text(" ").nstring(in_reply_to.as_deref()).text(" ").nstring(message_id.as_deref()).text(")");
    }

    /// Writes the addresses in parentheses, or `NIL` if there are none.
    fn addresses(&mut self, list: &AddressList) -> &mut Self {
        if list.is_empty() {
            return self.text("NIL");
        }
        self.text("(");
        for EnvelopeAddress { name, route, local, domain } in list.iter() {
            self.text("(").nstring(name.as_deref()).text(" ").nstring(route.as_deref());
            self.text(" ").nstring(local.as_deref()).text(" ").nstring(domain.as_deref()).text(")");
        }
        self.text(")")
    }
}
