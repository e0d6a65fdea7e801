//! `postroad mailbox`: the mailboxes of a running world, and the way of messages between them and files.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand, ValueEnum};
use console::style;

use super::common::{Controlled, printable};
use crate::control::{Client, FiledReport, MailboxReport, MessageReport};
use crate::imap::{Flags, SystemFlags};
use crate::mua::{Export, Filed, Form, read_filed};

/// Where the control interface has them.
const MAILBOXES: &str = "/api/v1/mailboxes";
/// So many messages are listed by one request.
const PAGE: usize = 1_000;

/// Lists the mailboxes of a running world; brings mail into them from files, and out of them into files.
#[derive(Debug, Args)]
pub(super) struct MailboxCommand {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    at: Controlled,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All mailboxes, or those of one account.
    List {
        /// Whose, as in `friend@sina.test`.
        account: Option<String>,
    },
    /// Files messages in a mailbox, which is made if it is missing: .eml files, mbox files, Maildirs, folders of these.
    ///
    /// Flags and dates come along as far as the files have them. A message that was imported is durable; one that cannot
    /// be read is named, and the others are imported. What is imported twice is there twice. Subfolders of a Maildir, and
    /// Maildirs in a folder, become mailboxes of their own, below the one that is named if that is not INBOX.
    Import {
        /// Whose.
        account: String,
        /// Files and folders.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Which mailbox.
        #[arg(long, default_value = "INBOX")]
        mailbox: String,
    },
    /// Writes the messages of a mailbox into files.
    Export {
        /// Whose.
        account: String,
        /// The file of an mbox, which must be new, or the folder for the other forms, to which is added.
        path: PathBuf,
        /// Which mailbox.
        #[arg(long, default_value = "INBOX")]
        mailbox: String,
        /// How; otherwise what the path says: `.mbox` is an mbox, a folder with `cur` a Maildir, the rest .eml files.
        #[arg(long)]
        form: Option<FormName>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormName {
    /// One file, mboxrd; flags stay behind.
    Mbox,
    /// A file each, with flags.
    Maildir,
    /// A file each, octets as they are; flags stay behind.
    Eml,
}

impl FormName {
    fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension == "mbox" => Self::Mbox,
            _ if path.join("cur").is_dir() => Self::Maildir,
            _ => Self::Eml,
        }
    }

    fn form(self) -> Form {
        match self {
            Self::Mbox => Form::Mbox,
            Self::Maildir => Form::Maildir,
            Self::Eml => Form::Eml,
        }
    }
}

impl MailboxCommand {
    /// Does it.
    ///
    /// # Errors
    /// The world cannot be reached, or a file cannot be read or written.
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
            Command::Import { account, paths, mailbox } => self.import(&client, (account, mailbox), paths).await,
            Command::Export { account, path, mailbox, form } => {
                let form = form.unwrap_or_else(|| FormName::of(path)).form();
                self.export(&client, (account, mailbox), path, form).await
            }
        }
    }

    async fn import(&self, client: &Client, to: (&str, &str), paths: &[PathBuf]) -> anyhow::Result<ExitCode> {
        let (mut imported, mut failed) = (0, 0);
        for path in paths {
            for filed in read_filed(path)? {
                let outcome = match filed {
                    Ok(filed) => bring(client, to, filed).await,
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
        self.tell(imported, "imported", &format!(" into {} of {}", to.1, to.0))?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn export(&self, client: &Client, from: (&str, &str), path: &Path, form: Form) -> anyhow::Result<ExitCode> {
        let mut page = messages(client, from, 0).await?;
        let writing = || format!("cannot write {}", path.display());
        let mut export = Export::create(path, form).with_context(writing)?;
        while let Some(last) = page.last() {
            let after = last.uid;
            for message in &page {
                let uid = message.uid.to_string();
                let query = query(&[("account", from.0), ("mailbox", from.1), ("uid", &uid)]);
                let octets = client.octets(&format!("{MAILBOXES}/message{query}")).await?;
                export.put(&uid, &message.flags(), message.received, &octets).with_context(writing)?;
            }
            page = messages(client, from, after).await?;
        }
        let count = export.finish().with_context(writing)?;
        self.tell(count, "exported", &format!(" from {} of {} to {}", from.1, from.0, path.display()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn tell(&self, count: usize, what: &str, more: &str) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(&serde_json::json!({ what: count }))?);
        } else {
            println!("{count} {} {what}{}", if count == 1 { "message" } else { "messages" }, printable(more));
        }
        Ok(())
    }
}

async fn messages(client: &Client, from: (&str, &str), after: u32) -> anyhow::Result<Vec<MessageReport>> {
    let (after, limit) = (after.to_string(), PAGE.to_string());
    let query = query(&[("account", from.0), ("mailbox", from.1), ("after", &after), ("limit", &limit)]);
    Ok(client.get(&format!("{MAILBOXES}/messages{query}")).await?)
}

async fn bring(client: &Client, to: (&str, &str), filed: Filed) -> anyhow::Result<()> {
    let Filed { name, mailbox, flags, received, message } = filed;
    let mailbox = match mailbox {
        Some(below) if to.1.eq_ignore_ascii_case("INBOX") => below,
        Some(below) => format!("{}/{below}", to.1),
        None => to.1.to_owned(),
    };
    ensure!(!message.is_empty(), "{name} is empty");
    let (flags, received) = (words(&flags), received.map(|received| received.to_string()));
    let mut pairs = vec![("account", to.0), ("mailbox", mailbox.as_str()), ("flags", flags.as_str())];
    pairs.extend(received.as_deref().map(|received| ("received", received)));
    let path = format!("{MAILBOXES}/messages{}", query(&pairs));
    let _: FiledReport = client.post_octets(&path, message).await.with_context(|| format!("{name} is not imported"))?;
    Ok(())
}

fn words(flags: &Flags) -> String {
    let system = SystemFlags::ALL.iter().filter(|(flag, _)| flags.system.contains(*flag)).map(|(_, name)| *name);
    system.chain(flags.keywords.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new("?".to_owned()).extend_pairs(pairs).finish()
}

fn table(all: &[MailboxReport]) -> String {
    let mut out = String::new();
    let wide = all.iter().map(|report| console::measure_text_width(&report.mailbox)).max().unwrap_or(0).max(7);
    let mut account = "";
    for report in all {
        // Writing to a String cannot fail.
        if account != report.account {
            account = &report.account;
            let head = format!("{}  messages  unseen      octets", " ".repeat(wide));
            let _ = writeln!(out, "{}\n  {}", style(printable(account)).bold(), style(head).dim());
        }
        let name = printable(&report.mailbox);
        let name = console::pad_str(&name, wide, console::Alignment::Left, None);
        let MailboxReport { messages, unseen, octets, .. } = report;
        let _ = writeln!(out, "  {name}  {messages:>8}  {unseen:>6}  {octets:>10}");
    }
    out
}
