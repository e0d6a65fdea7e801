//! The TRANSACTION state: list, fetch, mark. RFC 1939 §5, §7.

use super::{Command, Entry, Event, Maildrop, Message, Refusal, Session, Side, State};

const NO_SUCH_MESSAGE: &str = "-ERR No such message";
/// RFC 6856 §2, §5.
const NEEDS_UTF8: &str = "-ERR [UTF8] The header is in UTF-8, use UTF8 before you log in";

impl Session {
    /// Executes a command after the login: replies, or for RETR, TOP and QUIT passes an event to the owner. Commands of
    /// the login and UTF8 are protocol errors; a number without a message is refused, but is none.
    pub(super) fn transact(&mut self, mut maildrop: Maildrop, command: Command<'_>) {
        match command {
            Command::Retr(number) => return self.fetch(maildrop, number, None),
            Command::Top(number, lines) => return self.fetch(maildrop, number, Some(lines)),
            Command::Quit => {
                self.event = Some(Event::Update { deleted: maildrop.deleted() });
                self.state = State::Updating;
                return;
            }
            Command::Stat => {
                let (count, bytes) = maildrop.totals();
                self.send_line(&format!("+OK {count} {bytes}"));
            }
            Command::List(number) => self.list(&maildrop, number, |entry| entry.size.to_string()),
            Command::Uidl(number) => self.list(&maildrop, number, |entry| entry.uid.clone()),
            Command::Dele(number) => {
                self.send_line(if maildrop.delete(number) { "+OK Marked for deletion" } else { NO_SUCH_MESSAGE });
            }
            Command::Noop => self.send_line("+OK"),
            Command::Rset => {
                maildrop.reset();
                self.send_line("+OK Marks removed");
            }
            Command::Capa => self.capabilities(),
            Command::Lang(language) => self.language(language),
            // RFC 6856 §2: only before the login.
            Command::Utf8 => {
                self.state = State::Transaction(maildrop);
                return self.send_error("-ERR UTF8 is only allowed before login");
            }
            Command::User(_) | Command::Pass(_) | Command::Apop { .. } | Command::Auth { .. } | Command::Stls => {
                self.state = State::Transaction(maildrop);
                return self.send_error("-ERR Already logged in");
            }
        }
        self.state = State::Transaction(maildrop);
    }

    /// Replies to LIST or UIDL: with the line of one message, or `-ERR` if it does not exist or is marked; without a
    /// number, with the lines of all that are not marked. `text` gives what follows the number in a line: size or
    /// unique id.
    fn list(&mut self, maildrop: &Maildrop, number: Option<usize>, text: impl Fn(&Entry) -> String) {
        match number {
            Some(number) => match maildrop.find(number) {
                Some(entry) => self.send_line(&format!("+OK {number} {}", text(entry))),
                None => self.send_line(NO_SUCH_MESSAGE),
            },
            None => {
                self.send_line("+OK Listing follows");
                maildrop.iter().for_each(|(number, entry)| self.send_line(&format!("{number} {}", text(entry))));
                self.send_line(".");
            }
        }
    }

    /// Asks the owner for a message, or replies `-ERR` if it does not exist or is marked; with `body_lines`, for TOP,
    /// only that many lines of its body will be sent.
    fn fetch(&mut self, maildrop: Maildrop, number: usize, body_lines: Option<usize>) {
        self.state = if maildrop.find(number).is_some() {
            self.event = Some(Event::Retrieve { index: number - 1, whole: body_lines.is_none() });
            State::Fetching { maildrop, body_lines }
        } else {
            self.send_line(NO_SUCH_MESSAGE);
            State::Transaction(maildrop)
        };
    }

    /// Sends the reply to RETR or, with `body_lines`, to TOP: `+OK` and the message, or the refusal of the owner.
    /// Refuses a header in UTF-8 unless the client has sent UTF8. The transcript gets the size of the message only.
    pub(super) fn send_message(&mut self, outcome: Result<&Message, Refusal>, body_lines: Option<usize>) {
        match outcome {
            Ok(message) if !self.utf8 && has_utf8_header(message) => self.send_line(NEEDS_UTF8),
            Ok(message) => {
                match body_lines {
                    None => self.send_line(&format!("+OK {} octets", message.len())),
                    Some(lines) => self.send_line(&format!("+OK Header and {lines} lines follow")),
                }
                let sent = self.out.message(message, body_lines);
                self.dialogue.note_data(Side::Server, sent);
                self.dialogue.note(Side::Server, ".");
            }
            Err(refusal) => self.send_line(refusal.reply()),
        }
    }
}

/// Whether the header or the trace is valid UTF-8 with characters beyond ASCII. Other 8-bit headers violate RFC 5322,
/// and are sent as they are.
fn has_utf8_header(message: &Message) -> bool {
    let content = message.content.bytes();
    let end = memchr::memmem::find(content, b"\n\r\n").map_or(content.len(), |end| end + 1);
    let header = &content[..if content.starts_with(b"\r\n") { 0 } else { end }];
    let has = |bytes: &[u8]| !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok();
    has(header) || has(&message.trace)
}
