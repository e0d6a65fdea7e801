//! `postroad fetch`: fetches messages over POP3 or IMAP.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use mail_parser::MessageParser;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::common::{Endpoint, ExternalPorts, duration};
use super::find_world::FindWorld;
use super::letter::letter;
use super::out::printable;
use crate::mua::{self, ClientContext, ImapMailbox, Login, Maildrop, Security, Server};
use crate::world::{Links, Service, read_regular};

/// The interval at which `--wait` looks for a message.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Fetches a user's messages over POP3 or IMAP: lists them, or saves them with -o.
#[derive(Debug, Args)]
pub(super) struct Fetch {
    /// Use IMAP (the default).
    #[arg(long, conflicts_with = "pop3")]
    imap: bool,
    /// Use POP3.
    #[arg(long)]
    pop3: bool,
    /// The login: the full address.
    #[arg(long)]
    user: String,
    /// The password.
    #[arg(long, env = "POSTROAD_PASSWORD", default_value = "postroad", hide_env_values = true)]
    password: String,
    /// The server. Default: that of the running world, 127.0.0.1, port 1143 for IMAP, 1110 for POP3.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<Endpoint>,
    #[command(flatten)]
    world: FindWorld,
    /// The mailbox (IMAP only).
    #[arg(long, default_value = "INBOX")]
    mailbox: String,
    /// Saves each message in this folder as NUMBER.eml.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Deletes the fetched messages (POP3 only).
    #[arg(long, requires = "pop3", conflicts_with = "imap")]
    delete: bool,
    #[command(flatten)]
    reach: ExternalPorts,
    /// Waits until there is a message; exits with 1 if there is none in that time.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    wait: Option<Duration>,
    /// Prints each message as a letter: sender, recipients, date, subject, text and a list of the attachments.
    #[arg(long)]
    show: bool,
    /// Print a line of JSON for each message.
    #[arg(long, conflicts_with = "show")]
    json: bool,
}

impl Fetch {
    /// Fetches and prints all messages. With `--wait`, repeats that until there is a message, also while the login is
    /// refused, and fails if there is none in time. Without `--wait`, it succeeds even if there is none.
    ///
    /// # Errors
    /// The server is unreachable or refuses the login, or a file cannot be written.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let service = if self.pop3 { Service::Pop3 } else { Service::Imap };
        let (context, server) =
            self.reach.find(&self.world.at(self.server.as_ref(), service)?, Security::Upgrade).await?;
        let login = Login { user: self.user.clone(), password: self.password.clone() };
        let until = self.wait.map(|wait| Instant::now() + wait);
        loop {
            let fetched = self.fetch(&context, &server, &login).await;
            // Outside its domains, a world knows an address once it has received a message.
            let is_none = match &fetched {
                Ok(count) => *count == 0,
                Err(error) => matches!(error.downcast_ref(), Some(mua::Error::Login { .. })),
            };
            if is_none && until.is_some_and(|until| Instant::now() < until) {
                sleep(POLL_INTERVAL).await;
                continue;
            }
            let count = fetched?;
            if let Some(wait) = self.wait.filter(|_| count == 0) {
                bail!("no message for {} within {wait:?}", self.user);
            }
            return Ok(ExitCode::SUCCESS);
        }
    }

    /// Fetches all messages over POP3 or IMAP and prints them; saves them if `-o` was given, and then deletes them if
    /// `--delete` was given. Returns how many there are.
    async fn fetch(&self, context: &ClientContext, server: &Server, login: &Login) -> anyhow::Result<usize> {
        let mut messages: Vec<(u32, Bytes)> = Vec::new();
        if self.pop3 {
            let mut maildrop = Maildrop::open(context, server, login).await?;
            let numbers: Vec<_> = maildrop.list().await?.into_iter().map(|entry| entry.number).collect();
            maildrop.retrieve(&numbers, |number, bytes| messages.push((number as u32, bytes))).await?;
            self.save_all(&messages)?;
            for number in numbers.iter().filter(|_| self.delete) {
                maildrop.delete(*number).await?;
            }
            maildrop.quit().await?;
        } else {
            let mut mailbox = ImapMailbox::open(context, server, login, &self.mailbox).await?;
            if mailbox.messages != 0 {
                mailbox.fetch("1:*", |uid, bytes| messages.push((uid, bytes))).await?;
            }
            mailbox.logout().await?;
            self.save_all(&messages)?;
        }
        Ok(messages.len())
    }

    /// Saves each message if `-o` was given, in a folder that is created, and prints each.
    fn save_all(&self, messages: &[(u32, Bytes)]) -> anyhow::Result<()> {
        if let Some(folder) = &self.output {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        for (number, bytes) in messages {
            let file = self.output.as_deref().map(|folder| save(folder, *number, bytes)).transpose()?;
            self.print(*number, bytes, file.as_deref());
        }
        Ok(())
    }

    /// Prints a message to be read with `--show`, as JSON with `--json`, else as one line. `file`, where it was saved,
    /// is in the JSON only.
    fn print(&self, number: u32, bytes: &[u8], file: Option<&Path>) {
        let message = MessageParser::new().parse_headers(bytes);
        let subject = message.as_ref().and_then(|message| message.subject()).unwrap_or_default();
        let from = message.as_ref().and_then(|message| message.from()?.first()?.address()).unwrap_or_default();
        if self.show {
            print!("{}\n", letter(number, bytes));
        } else if self.json {
            println!(
                "{}",
                json!({ "number": number, "bytes": bytes.len(), "from": from, "subject": subject, "file": file })
            );
        } else {
            println!("{number:>6}  {:>9} bytes  {}  {}", bytes.len(), printable(from), printable(subject));
        }
    }
}

/// Writes a message to `NUMBER.eml`, or to `NUMBER.2.eml` and so on if another message has that name, because POP3
/// counts from 1 in each session. A message that exists already is not written again. Returns the path.
fn save(folder: &Path, number: u32, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    for copy in 1_u32.. {
        let name = if copy == 1 { format!("{number}.eml") } else { format!("{number}.{copy}.eml") };
        let path = folder.join(name);
        match File::create_new(&path) {
            Ok(mut file) => {
                file.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
                return Ok(path);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if read_regular(&path, Links::Refuse, bytes.len()).is_ok_and(|(held, _)| held == bytes) {
                    return Ok(path);
                }
            }
            Err(error) => return Err(error).with_context(|| format!("cannot write {}", path.display())),
        }
    }
    anyhow::bail!("no name is free in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn save_when_another_message_has_the_name_keeps_both() {
        let folder = tempfile::tempdir().unwrap();
        let saved = |bytes: &[u8]| {
            let path = save(folder.path(), 1, bytes).unwrap();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        };
        for (bytes, name) in
            [(b"one", "1.eml"), (b"one", "1.eml"), (b"two", "1.2.eml"), (b"two", "1.2.eml"), (b"one", "1.eml")]
        {
            assert_eq!(saved(bytes), (name.to_owned(), bytes.to_vec()));
        }
    }
}
