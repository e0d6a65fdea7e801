//! The TRANSACTION state: list, fetch, mark. RFC 1939 §5, §7.

use super::{Command, Entry, Event, Letter, Maildrop, Refusal, Session, Speaker, State};

const NO_SUCH_MESSAGE: &str = "-ERR no such message";

impl Session {
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
                let (count, octets) = maildrop.totals();
                self.say(&format!("+OK {count} {octets}"));
            }
            Command::List(number) => self.list(&maildrop, number, |entry| entry.size.to_string()),
            Command::Uidl(number) => self.list(&maildrop, number, |entry| entry.uid.clone()),
            Command::Dele(number) => {
                self.say(if maildrop.delete(number) { "+OK marked for deletion" } else { NO_SUCH_MESSAGE });
            }
            Command::Noop => self.say("+OK"),
            Command::Rset => {
                maildrop.reset();
                self.say("+OK no message is marked");
            }
            Command::Capa => self.capabilities(false),
            Command::Lang(language) => self.language(language),
            // RFC 6856 §2: only before the login.
            Command::Utf8 => {
                self.state = State::Transaction(maildrop);
                return self.blunder("-ERR say UTF8 before you log in");
            }
            Command::User(_) | Command::Pass(_) | Command::Apop { .. } | Command::Auth { .. } | Command::Stls => {
                self.state = State::Transaction(maildrop);
                return self.blunder("-ERR you are logged in already");
            }
        }
        self.state = State::Transaction(maildrop);
    }

    /// The listing of one message, or of all that are not marked.
    fn list(&mut self, maildrop: &Maildrop, number: Option<usize>, text: impl Fn(&Entry) -> String) {
        match number {
            Some(number) => match maildrop.find(number) {
                Some(entry) => self.say(&format!("+OK {number} {}", text(entry))),
                None => self.say(NO_SUCH_MESSAGE),
            },
            None => {
                self.say("+OK the listing follows");
                maildrop.iter().for_each(|(number, entry)| self.say(&format!("{number} {}", text(entry))));
                self.say(".");
            }
        }
    }

    fn fetch(&mut self, maildrop: Maildrop, number: usize, body_lines: Option<usize>) {
        self.state = if maildrop.find(number).is_some() {
            self.event = Some(Event::Retrieve { index: number - 1, whole: body_lines.is_none() });
            State::Fetching { maildrop, body_lines }
        } else {
            self.say(NO_SUCH_MESSAGE);
            State::Transaction(maildrop)
        };
    }

    pub(super) fn send_message(&mut self, outcome: Result<&Letter, Refusal>, body_lines: Option<usize>) {
        match outcome {
            Ok(letter) => {
                match body_lines {
                    None => self.say(&format!("+OK {} octets", letter.len())),
                    Some(lines) => self.say(&format!("+OK the header and {lines} lines follow")),
                }
                self.out.message(letter, body_lines);
                if let Some(dialogue) = &mut self.dialogue {
                    dialogue.note_data(Speaker::Server, letter.len());
                    dialogue.note(Speaker::Server, ".");
                }
            }
            Err(refusal) => self.say(refusal.reply()),
        }
    }
}
