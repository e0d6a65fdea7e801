//! What makes messages a thread: a Message-ID that one has and another names, or, for a reply that names none, the subject.
//! RFC 5322 §3.6.4; RFC 5256 §3 threads mailboxes of IMAP in the same way.

use mail_parser::{HeaderValue, Message};

use crate::mail::base_subject;

/// The most Message-IDs of a message that count: the first of its references, and the last ones.
const MAX_IDS: usize = 50;

/// Messages with the same key are of one thread, unless it is weak in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ThreadKey {
    /// The hash of a Message-ID or of a subject.
    pub(super) hash: i64,
    /// The subject of a message that is no reply: many messages have it, and are no thread for that alone.
    pub(super) is_weak: bool,
}

/// Returns the keys by which a message belongs to threads, sorted, each once: its Message-ID, those in References and
/// In-Reply-To (of more than `MAX_IDS` the first and the last ones), and, unless it is a reply that names some, its
/// base subject, which is weak if it is no reply.
pub(super) fn keys(message: &Message<'_>) -> Vec<ThreadKey> {
    let mut named: Vec<&str> = [message.references(), message.in_reply_to()].into_iter().flat_map(ids).collect();
    if MAX_IDS < named.len() {
        named.drain(1..named.len() - MAX_IDS + 1);
    }
    let own = message.message_id().filter(|id| !id.is_empty());
    let mut keys: Vec<_> = named.iter().copied().chain(own).map(|id| key("id", id, false)).collect();
    let (subject, is_reply) = base_subject(message.subject().unwrap_or_default());
    if !subject.is_empty() && (!is_reply || named.is_empty()) {
        keys.push(key("subject", &subject.to_lowercase(), !is_reply));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Iterates over the Message-IDs of a parsed field, without empty ones; none if it is no list of texts.
fn ids<'a>(field: &'a HeaderValue<'_>) -> impl Iterator<Item = &'a str> {
    field.as_text_list().unwrap_or_default().iter().map(AsRef::as_ref).filter(|id: &&str| !id.is_empty())
}

/// Returns the key for a text: the hash of `kind:text`, where `kind` is `id` or `subject`. `is_weak` is that of the
/// key.
fn key(kind: &str, text: &str, is_weak: bool) -> ThreadKey {
    let hash = blake3::hash(format!("{kind}:{text}").as_bytes());
    let hash = hash.as_bytes().first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
    ThreadKey { hash, is_weak }
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;

    use super::*;

    fn keys_of(header: &str) -> Vec<ThreadKey> {
        keys(&MessageParser::default().parse(header.as_bytes()).unwrap())
    }

    #[test]
    fn thread_keys_are_the_ids_and_the_subject_of_what_names_none() {
        let sorted = |mut keys: Vec<ThreadKey>| {
            keys.sort_unstable();
            keys
        };
        let id = |text| key("id", text, false);
        assert_eq!(
            keys_of("Message-ID: <a@x>\nSubject: Hello\n\n"),
            sorted(vec![id("a@x"), key("subject", "hello", true)])
        );
        assert_eq!(
            keys_of("Message-ID: <b@x>\nReferences: <r@x> <a@x>\nIn-Reply-To: <a@x>\nSubject: Re: Hello\n\n"),
            sorted(vec![id("a@x"), id("b@x"), id("r@x")])
        );
        assert_eq!(keys_of("Subject: AW: x\nSubject: Re: HELLO\n\n").len(), 1);
        assert_eq!(keys_of("Subject: Re: HELLO\n\n"), [key("subject", "hello", false)]);
        assert_eq!(keys_of("To: a@x\n\n"), []);
        let many: String = (0..200).map(|number| format!("<{number}@x> ")).collect();
        let of_many = keys_of(&format!("References: {many}\nSubject: Re: x\n\n"));
        assert_eq!(of_many.len(), MAX_IDS);
        assert!(of_many.contains(&id("0@x")) && of_many.contains(&id("199@x")) && !of_many.contains(&id("1@x")));
    }
}
