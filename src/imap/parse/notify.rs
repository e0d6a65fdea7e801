//! `NOTIFY`. RFC 5465 §8.

use super::scanner::Scanner;
use super::{ParseError, Parsed, bad, fetch};
use crate::imap::command::Request;
use crate::imap::fetch::Item;
use crate::imap::notify::{EventGroup, Events, Filter, Notify, SelectedEvents};

/// Parses the arguments of NOTIFY, with the space before them; the request has `None` for `NOTIFY NONE`.
pub(super) fn notify(scanner: &mut Scanner<'_>) -> Parsed<Request> {
    scanner.space()?;
    match scanner.word()?.as_str() {
        "NONE" => Ok(Request::Notify(None)),
        "SET" => set(scanner).map(|notify| Request::Notify(Some(notify))),
        _ => bad("SET or NONE is missing"),
    }
}

/// Parses the rest of `NOTIFY SET`: optionally `STATUS`, and one group of events or more. An unknown event is an error
/// of its own kind, reported only if all else is valid.
fn set(scanner: &mut Scanner<'_>) -> Parsed<Notify> {
    let mut notify = Notify { status: scanner.eat(" STATUS"), ..Notify::default() };
    let (mut has_selected, mut has_unknown) = (false, false);
    loop {
        scanner.expect(" (", "A group of events is missing")?;
        let (selector, listed) = group(scanner)?;
        has_unknown |= listed.has_unknown;
        match selector {
            // RFC 5465 §6.1.
            Selector::Selected { .. } if has_selected => return bad("SELECTED is given twice"),
            Selector::Selected { delayed } => {
                has_selected = true;
                notify.selected = listed.of_selected(delayed)?;
            }
            Selector::Other(_) if listed.items.is_some() => {
                return bad("Items are only allowed for the selected mailbox");
            }
            Selector::Other(filter) => notify.groups.push(EventGroup { filter, events: listed.events }),
        }
        if scanner.peek().is_none() {
            break;
        }
    }
    // RFC 5465 §3.1: BADEVENT is only for requests that are otherwise valid.
    if has_unknown { Err(ParseError::Event) } else { Ok(notify) }
}

enum Selector {
    Selected { delayed: bool },
    Other(Filter),
}

/// Parses a group of events behind its `(`, up to and including its `)`: which mailboxes, and their events.
fn group(scanner: &mut Scanner<'_>) -> Parsed<(Selector, Listed)> {
    let selector = match scanner.word()?.as_str() {
        "SELECTED" => Selector::Selected { delayed: false },
        "SELECTED-DELAYED" => Selector::Selected { delayed: true },
        "PERSONAL" | "INBOXES" => Selector::Other(Filter::Personal),
        "SUBSCRIBED" => Selector::Other(Filter::Subscribed),
        "SUBTREE" => Selector::Other(Filter::Subtree(mailboxes(scanner)?)),
        "MAILBOXES" => Selector::Other(Filter::Mailboxes(mailboxes(scanner)?)),
        _ => return bad("Unknown mailbox selector"),
    };
    scanner.space()?;
    let listed = Listed::read(scanner)?;
    scanner.expect(")", "A closing parenthesis is missing")?;
    Ok((selector, listed))
}

/// Parses one mailbox name, or several in parentheses, with the space before them; an error if there are none. RFC 5465
/// §8 (one-or-more-mailbox).
fn mailboxes(scanner: &mut Scanner<'_>) -> Parsed<Vec<String>> {
    scanner.space()?;
    let mut names = Vec::new();
    if scanner.peek() != Some(b'(') {
        return Ok(vec![scanner.mailbox()?]);
    }
    scanner.list(|scanner| {
        names.push(scanner.mailbox()?);
        Ok(())
    })?;
    if names.is_empty() { bad("A mailbox name is missing") } else { Ok(names) }
}

/// The events of one group, as parsed.
#[derive(Default)]
struct Listed {
    events: Events,
    message_new: bool,
    message_expunge: bool,
    annotations: bool,
    has_unknown: bool,
    items: Option<Vec<Item>>,
}

impl Listed {
    /// Parses `NONE` or events in parentheses; an error for empty parentheses, or if an event lacks another that it
    /// needs: `MessageNew` and `MessageExpunge` need each other, flags and annotations need both.
    fn read(scanner: &mut Scanner<'_>) -> Parsed<Self> {
        let mut listed = Self::default();
        if scanner.eat("NONE") {
            return Ok(listed);
        }
        let mut count = 0;
        scanner.list(|scanner| {
            count += 1;
            listed.event(scanner)
        })?;
        if count == 0 {
            return bad("An event is missing");
        }
        // RFC 5465 §5.
        if listed.message_new != listed.message_expunge {
            return bad("MessageNew and MessageExpunge need each other");
        }
        listed.events.messages = listed.message_new;
        if (listed.events.flags || listed.annotations) && !listed.events.messages {
            return bad("FlagChange and AnnotationChange need MessageNew and MessageExpunge");
        }
        Ok(listed)
    }

    /// Parses one event, `MessageNew` with its items, and adds it. An unknown one only sets `has_unknown`;
    /// `AnnotationChange`, which is not supported, also `annotations`.
    fn event(&mut self, scanner: &mut Scanner<'_>) -> Parsed<()> {
        let name = scanner.atom()?.to_ascii_uppercase();
        match name.as_str() {
            "MESSAGENEW" => {
                self.message_new = true;
                if scanner.eat(" (") {
                    self.items = Some(fetch::items_until_parenthesis(scanner)?);
                }
            }
            "MESSAGEEXPUNGE" => self.message_expunge = true,
            "FLAGCHANGE" => self.events.flags = true,
            "MAILBOXNAME" => self.events.names = true,
            "SUBSCRIPTIONCHANGE" => self.events.subscriptions = true,
            "MAILBOXMETADATACHANGE" => self.events.metadata = true,
            "SERVERMETADATACHANGE" => self.events.server_metadata = true,
            _ => {
                self.annotations |= name == "ANNOTATIONCHANGE";
                self.has_unknown = true;
            }
        }
        Ok(())
    }

    /// Returns these events for `SELECTED`, or for `SELECTED-DELAYED` if `delayed` is set; `None` without `MessageNew`
    /// and `MessageExpunge`. An error if there are other events than these and `FlagChange`. RFC 5465 §6.1.
    fn of_selected(self, delayed: bool) -> Parsed<Option<SelectedEvents>> {
        let Events { messages, flags, .. } = self.events;
        if (Events { messages, flags, ..Events::NONE }) != self.events {
            return bad("Only message events are allowed for the selected mailbox");
        }
        let items = self.items.unwrap_or_default();
        Ok(messages.then_some(SelectedEvents { delayed, flags, items }))
    }
}
