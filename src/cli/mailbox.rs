//! `postroad mailbox`: lists and clears the mailboxes of a running world, and imports and exports messages.

use std::fmt::Write;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use console::style;

use super::find_world::ControlArgs;
use super::out::printable;
use crate::control::{Client, MailboxReport, MessageList, UploadReport};
use crate::imap::{Flags, SystemFlags};
use crate::mua::{Export, Form, MessageFile, read_mail_files};

/// The path of the mailboxes in the control interface.
const MAILBOXES: &str = "/api/v1/mailboxes";
/// The path of the messages in the control interface.
const MESSAGES: &str = "/api/v1/messages";
/// Messages listed by one request.
const PAGE: usize = 1_000;

/// Lists and clears the mailboxes of a running world, imports messages from files and exports messages to files.
#[derive(Debug, Args)]
pub(super) struct MailboxCommand {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    at: ControlArgs,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists all mailboxes, or those of one account.
    List {
        /// The account, such as `friend@sina.test`.
        account: Option<String>,
    },
    /// Imports .eml files, mbox files, Maildirs or folders of these into a mailbox, which is created if it does not exist.
    ///
    /// Flags and dates are imported if the files have them. Imported messages are durable. Messages that cannot be read are
    /// reported, and the others are imported. Messages that are imported twice are stored twice. Subfolders of a Maildir,
    /// and Maildirs in a folder, become mailboxes of their own, below the named mailbox unless that is INBOX.
    Import {
        /// The account.
        account: String,
        /// Files and folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The mailbox.
        #[arg(long, default_value = "INBOX")]
        mailbox: String,
    },
    /// Deletes the messages of an account, in all its mailboxes, or all messages of the world.
    Clear {
        /// The account.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        account: Option<String>,
        /// All messages of the world, also those that wait in queues. On a terminal, it asks before.
        #[arg(long)]
        all: bool,
        /// Does not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Exports the messages of a mailbox to files.
    Export {
        /// The account.
        account: String,
        /// The new mbox file, or the folder for the other formats; messages in the folder are kept.
        path: PathBuf,
        /// The mailbox.
        #[arg(long, default_value = "INBOX")]
        mailbox: String,
        /// The format. Default: mbox for a path with `.mbox`, Maildir for a folder with `cur`, else .eml files.
        #[arg(long)]
        form: Option<FormName>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormName {
    /// One mboxrd file, without flags.
    Mbox,
    /// A Maildir: one file per message, with flags.
    Maildir,
    /// One file per message, unchanged, without flags.
    Eml,
}

impl FormName {
    /// The form of an export to a path: mbox for `.mbox`, Maildir for a folder with `cur`, else .eml files.
    fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension == "mbox" => Self::Mbox,
            _ if path.join("cur").is_dir() => Self::Maildir,
            _ => Self::Eml,
        }
    }

    /// Returns the form of an export that has this name.
    fn form(self) -> Form {
        match self {
            Self::Mbox => Form::Mbox,
            Self::Maildir => Form::Maildir,
            Self::Eml => Form::Eml,
        }
    }
}

impl MailboxCommand {
    /// Lists mailboxes, or clears, imports or exports messages over the control interface, and prints the list or the
    /// number of messages. The exit code is 1 if a message could not be imported.
    ///
    /// # Errors
    /// The world is unreachable, or a file cannot be read or written.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.at.client()?;
        match &self.command {
            Command::List { account } => {
                let query = query(&account.iter().map(|account| ("account", account.as_str())).collect::<Vec<_>>());
                let all: Vec<MailboxReport> = client.get(&format!("{MAILBOXES}{query}")).await?;
                if self.json {
                    println!("{}", serde_json::to_string(&all)?);
                } else {
                    print!("{}", table(&all));
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Clear { account, yes, .. } => self.clear(&client, account.as_deref(), *yes).await,
            Command::Import { account, paths, mailbox } => self.import(&client, (account, mailbox), paths).await,
            Command::Export { account, path, mailbox, form } => {
                let form = form.unwrap_or_else(|| FormName::of(path)).form();
                self.export(&client, (account, mailbox), path, form).await
            }
        }
    }

    /// Deletes the messages of the account, or without one all of the world; prints how many there were before. For
    /// all, asks first if standard input is a terminal and `yes` is false; any answer but yes is an error, and so is an
    /// account that cannot have mail.
    async fn clear(&self, client: &Client, account: Option<&str>, yes: bool) -> anyhow::Result<ExitCode> {
        let which = query(&account.map(|account| ("mailbox", account)).into_iter().collect::<Vec<_>>());
        if let Some(account) = account {
            // An address that cannot have mail is an error.
            let _: Vec<MailboxReport> = client.get(&format!("{MAILBOXES}{}", query(&[("account", account)]))).await?;
        }
        let page: serde_json::Value = client.get(&format!("{MESSAGES}{which}&limit=1")).await?;
        let count = usize::try_from(page["total"].as_u64().unwrap_or_default())?;
        if account.is_none() && !yes && std::io::stdin().is_terminal() {
            print!("Delete all messages of this world, {count}? [y/N] ");
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            ensure!(matches!(answer.trim(), "y" | "Y" | "yes"), "nothing was deleted");
        }
        client.remove(&format!("{MESSAGES}{which}")).await?;
        self.print_count(count, "deleted", &account.map_or_else(String::new, |account| format!(" of {account}")))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Uploads the messages of all paths to an account and its mailbox, `to`, and prints how many. A message that fails
    /// is reported to standard error and skipped, and the exit code is then 1.
    async fn import(&self, client: &Client, to: (&str, &str), paths: &[PathBuf]) -> anyhow::Result<ExitCode> {
        let (mut imported, mut failed) = (0, 0);
        for path in paths {
            for filed in read_mail_files(path)? {
                let outcome = match filed {
                    Ok(filed) => upload(client, to, filed).await,
                    Err(error) => Err(error.into()),
                };
                match outcome {
                    Ok(()) => imported += 1,
                    Err(error) => {
                        failed += 1;
                        eprintln!("postroad: {error:#}");
                    }
                }
            }
        }
        self.print_count(imported, "imported", &format!(" into {} of {}", to.1, to.0))?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Writes all messages of an account and its mailbox, `from`, to `path` in the given form, and prints how many.
    /// Nothing is created there if the first request fails.
    async fn export(&self, client: &Client, from: (&str, &str), path: &Path, form: Form) -> anyhow::Result<ExitCode> {
        let mut page = Some(messages(client, from, 0).await?);
        let writing = || format!("cannot write {}", path.display());
        let mut export = Export::create(path, form).with_context(writing)?;
        while let Some(MessageList { next, messages: all, .. }) = page {
            for message in &all {
                let uid = message.uid.to_string();
                let query = query(&[("account", from.0), ("mailbox", from.1), ("uid", &uid)]);
                let bytes = client.bytes(&format!("{MAILBOXES}/message{query}")).await?;
                export.put(&uid, &message.flags(), message.received, &bytes).with_context(writing)?;
            }
            page = match next {
                Some(next) => Some(messages(client, from, next).await?),
                None => None,
            };
        }
        let count = export.finish().with_context(writing)?;
        self.print_count(count, "exported", &format!(" from {} of {} to {}", from.1, from.0, path.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Prints `COUNT messages WHAT` followed by `more`, or with `--json` an object with `what` as its key.
    fn print_count(&self, count: usize, what: &str, more: &str) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(&serde_json::json!({ what: count }))?);
        } else {
            println!("{count} {} {what}{}", if count == 1 { "message" } else { "messages" }, printable(more));
        }
        Ok(())
    }
}

/// Requests the list of at most [`PAGE`] messages of an account and its mailbox, from a cursor; 0 is the first page.
async fn messages(client: &Client, from: (&str, &str), cursor: u32) -> anyhow::Result<MessageList> {
    let (cursor, limit) = (cursor.to_string(), PAGE.to_string());
    let query = query(&[("account", from.0), ("mailbox", from.1), ("cursor", &cursor), ("limit", &limit)]);
    Ok(client.get(&format!("{MAILBOXES}/messages{query}")).await?)
}

/// Uploads a message with its flags and date to an account: to the mailbox, or if the file names one, to that below the
/// mailbox, or at the top if the mailbox is INBOX. An empty message is an error.
async fn upload(client: &Client, to: (&str, &str), filed: MessageFile) -> anyhow::Result<()> {
    let MessageFile { name, mailbox, flags, received, message } = filed;
    let mailbox = match mailbox {
        Some(below) if to.1.eq_ignore_ascii_case("INBOX") => below,
        Some(below) => format!("{}/{below}", to.1),
        None => to.1.to_owned(),
    };
    ensure!(!message.is_empty(), "{name} is empty");
    let (flags, received) = (flag_list(&flags), received.map(|received| received.to_string()));
    let mut pairs = vec![("account", to.0), ("mailbox", mailbox.as_str()), ("flags", flags.as_str())];
    pairs.extend(received.as_deref().map(|received| ("received", received)));
    let path = format!("{MAILBOXES}/messages{}", query(&pairs));
    let _: UploadReport = client.post_bytes(&path, message).await.with_context(|| format!("cannot import {name}"))?;
    Ok(())
}

/// The names of the flags, such as `\Seen`, and the keywords, separated by spaces.
fn flag_list(flags: &Flags) -> String {
    let system = SystemFlags::ALL.iter().filter(|(flag, _)| flags.system.contains(*flag)).map(|(_, name)| *name);
    system.chain(flags.keywords.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// The query of a URL, with its `?`.
fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new("?".to_owned()).extend_pairs(pairs).finish()
}

/// A table of mailboxes with a head for each account. The mailboxes of an account must be next to each other.
fn table(all: &[MailboxReport]) -> String {
    let mut out = String::new();
    let wide = all.iter().map(|report| console::measure_text_width(&report.mailbox)).max().unwrap_or(0).max(7);
    let mut account = "";
    for report in all {
        // Writing to a String cannot fail.
        if account != report.account {
            account = &report.account;
            let head = format!("{}  messages  unseen       bytes", " ".repeat(wide));
            let _ = writeln!(out, "{}\n  {}", style(printable(account)).bold(), style(head).dim());
        }
        let name = printable(&report.mailbox);
        let name = console::pad_str(&name, wide, console::Alignment::Left, None);
        let MailboxReport { messages, unseen, bytes, .. } = report;
        let _ = writeln!(out, "  {name}  {messages:>8}  {unseen:>6}  {bytes:>10}");
    }
    out
}
