//! `postroad sendmail`: stands in for /usr/sbin/sendmail, for programs that send mail by running it.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::io::{AsyncWriteExt, copy, split, stdin, stdout};

use super::common::Endpoint;
use super::out::printable;
use crate::mail::{Address, Body, Envelope, Message, ReversePath};
use crate::mua::{ClientContext, Error, Handed, Missing, Security, Server, Submitter, Verdict};
use crate::net::{Net, Trust};
use crate::world::{Clock, Rng};

/// The largest message read, in octets.
const SIZE_MAX: u64 = 256 * 1024 * 1024;

// What the exit code means, after sysexits.h, as programs expect of sendmail.
const EX_DATAERR: u8 = 65;
const EX_NOUSER: u8 = 67;
const EX_UNAVAILABLE: u8 = 69;
const EX_TEMPFAIL: u8 = 75;

/// Stands in for /usr/sbin/sendmail: reads a message from standard input and hands it to the SMTP port of a world.
///
/// Exits with 0 if every recipient was taken, 75 to try again later, 67 for an unknown user, 69 for another refusal, 65
/// for no recipient. A link named `sendmail` to this program does the same.
#[derive(Debug, Args)]
pub(super) struct Sendmail {
    /// Who shall get it.
    recipients: Vec<Address>,
    /// Takes the recipients from To, Cc and Bcc, too.
    #[arg(short = 't')]
    from_header: bool,
    /// The envelope sender, where failures are reported; empty or <> for none. Without it, that of From.
    #[arg(short = 'f', short_alias = 'r', value_name = "ADDRESS", allow_hyphen_values = true)]
    sender: Option<String>,
    /// The sender's name, where the message has no From.
    #[arg(short = 'F', value_name = "NAME")]
    name: Option<String>,
    /// A line with only a dot does not end the message.
    #[arg(short = 'i')]
    ignore_dots: bool,
    /// Options of old: i is -i; how errors are reported (e…) and others change nothing here.
    #[arg(short = 'o', value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
    /// m reads a message, s speaks SMTP on standard input and output.
    #[arg(short = 'b', value_name = "MODE", default_value = "m", value_parser = ["m", "s"])]
    mode: String,
    /// 7BIT or 8BITMIME; what the message needs is seen from the message.
    #[arg(short = 'B', value_name = "TYPE")]
    body: Option<String>,
    /// Prints what the server replied.
    #[arg(short = 'v')]
    verbose: bool,
    /// The SMTP port of the world.
    #[arg(long, value_name = "HOST:PORT", env = "POSTROAD_SMTP", default_value = "127.0.0.1:1025")]
    server: Endpoint,
}

impl Sendmail {
    /// Does it.
    ///
    /// # Errors
    /// The message cannot be read, or the sender is no address.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        if self.mode == "s" {
            return self.pass_through().await;
        }
        let (fallback, rng) = (login_address()?, Rng::from_entropy());
        let sender = self.sender()?;
        let id = format!("{:016x}", rng.next_u64());
        let missing = Missing {
            sender: sender.as_ref().and_then(Option::as_ref).unwrap_or(&fallback),
            name: self.name.as_deref(),
            date: Clock::wall().now(),
            id: &id,
        };
        let handed = Handed::new(&self.message()?, &missing);
        let mut recipients = self.recipients.clone();
        if self.from_header {
            for word in &handed.unknown {
                eprintln!("postroad sendmail: `{}` is no address", printable(word));
            }
            recipients.extend(handed.named.iter().cloned());
        }
        recipients.sort();
        recipients.dedup();
        if recipients.is_empty() {
            eprintln!("postroad sendmail: no recipient; name them, or use -t to take those of the message");
            return Ok(EX_DATAERR.into());
        }
        let reverse_path = sender.unwrap_or_else(|| Some(handed.from.clone().unwrap_or(fallback)));
        Ok(self.submit(reverse_path, recipients, handed).await)
    }

    async fn submit(&self, reverse_path: ReversePath, recipients: Vec<Address>, handed: Handed) -> ExitCode {
        let envelope = Envelope {
            reverse_path,
            recipients: recipients.iter().cloned().map(Into::into).collect(),
            body: Body::of(&handed.message),
            ..Envelope::default()
        };
        match self.hand_over(envelope, &Message::new(handed.message)).await {
            Ok(verdicts) => recipients.iter().zip(&verdicts).map(|(to, verdict)| self.tell(to, verdict)).max(),
            Err(error) => {
                eprintln!("postroad sendmail: {error}");
                Some(EX_TEMPFAIL)
            }
        }
        .unwrap_or_default()
        .into()
    }

    async fn hand_over(&self, envelope: Envelope, letter: &Message) -> Result<Vec<Verdict>, Error> {
        let (interface, name) = (Net::sockets().interface(&[]), self.server.host.clone());
        let failed = |why| Error::Net { server: name.clone(), why };
        let addresses = interface.lookup(&self.server.host, self.server.port).await.map_err(failed)?;
        let trust = Trust::any_certificate(Clock::wall()).map_err(failed)?;
        let context = ClientContext { interface, trust, hello: "localhost".to_owned(), transcripts: false };
        let server = Server { name: name.clone(), addresses, security: Security::Plain };
        let mut submitter = Submitter::connect(&context, &server, None).await?;
        let verdicts = submitter.submit(envelope, letter).await?;
        submitter.quit().await;
        Ok(verdicts)
    }

    /// The exit code that a verdict asks for; of several, the highest counts.
    fn tell(&self, to: &Address, verdict: &Verdict) -> u8 {
        match verdict {
            Verdict::Accepted(reply) => {
                if self.verbose {
                    println!("{to}: {}", printable(reply.to_string().trim_end()));
                }
                0
            }
            Verdict::Refused { reply, .. } => {
                eprintln!("postroad sendmail: {to}: {}", printable(reply.to_string().trim_end()));
                match (reply.code, reply.to_string().contains("5.1.")) {
                    (400..500, _) => EX_TEMPFAIL,
                    (_, true) => EX_NOUSER,
                    _ => EX_UNAVAILABLE,
                }
            }
        }
    }

    /// The `-f`, if there is one: perhaps the null sender.
    fn sender(&self) -> anyhow::Result<Option<ReversePath>> {
        let Some(text) = self.sender.as_deref() else { return Ok(None) };
        let bare = text.trim_start_matches('<').trim_end_matches('>');
        if bare.is_empty() {
            return Ok(Some(None));
        }
        let address = bare.parse().with_context(|| format!("-f: `{text}` is no address"))?;
        Ok(Some(Some(address)))
    }

    fn message(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(SIZE_MAX + 1).read_to_end(&mut bytes);
        read.context("cannot read the message from standard input")?;
        anyhow::ensure!(bytes.len() as u64 <= SIZE_MAX, "the message is larger than {SIZE_MAX} octets");
        if !self.ignore_dots && !self.options.iter().any(|option| option == "i") {
            let mut at = 0;
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                if line.trim_ascii_end() == b"." {
                    bytes.truncate(at);
                    break;
                }
                at += line.len();
            }
        }
        Ok(bytes)
    }

    /// `-bs`: the program speaks to the server itself.
    async fn pass_through(&self) -> anyhow::Result<ExitCode> {
        let interface = Net::sockets().interface(&[]);
        let addresses = interface.lookup(&self.server.host, self.server.port).await?;
        let (mut from, mut to) = split(interface.connect_any(&self.server.host, &addresses).await?);
        let asking = async {
            copy(&mut stdin(), &mut to).await?;
            to.shutdown().await
        };
        let answering = async {
            copy(&mut from, &mut stdout()).await?;
            stdout().flush().await
        };
        tokio::select! {
            biased;
            // The server closes last, whoever says goodbye.
            answered = answering => answered?,
            failed = async { match asking.await { Ok(()) => std::future::pending().await, Err(error) => error } } => {
                return Err(failed.into());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Who runs this, as a last resort.
fn login_address() -> anyhow::Result<Address> {
    let user =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let address = format!("{}@localhost", user.unwrap_or_else(|| "postmaster".to_owned()));
    address.parse().with_context(|| format!("{address} is no address; name the sender with -f"))
}
