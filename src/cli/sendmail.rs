//! `postroad sendmail`: stands in for /usr/sbin/sendmail, for programs that send mail by running it.

use std::io::Read;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{ArgAction, Args};
use tokio::io::{AsyncWriteExt, copy, split, stdin, stdout};

use super::common::Endpoint;
use super::find_world::{FindWorld, ask_if_running};
use super::out::{self, printable};
use crate::mail::{Address, Body, Envelope, Message, Notify, Recipient, Return, ReversePath};
use crate::mua::{
    AddressArguments, ClientContext, Error, MessageDefaults, Security, SendmailInput, Server, Submitter, Verdict,
};
use crate::net::{CONNECT_TIMEOUT, Net, Trust};
use crate::world::{Clock, Rng, Service};

/// The largest message read, in bytes.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024 * 1024;
/// The longest identifier of a message in its reports. RFC 3461 §4.4.
const MAX_ENVID_BYTES: usize = 100;

// What the exit code means, after sysexits.h, as programs expect of sendmail.
pub(super) const EX_USAGE: u8 = 64;
const EX_DATAERR: u8 = 65;
const EX_NOUSER: u8 = 67;
const EX_UNAVAILABLE: u8 = 69;
const EX_IOERR: u8 = 74;
const EX_TEMPFAIL: u8 = 75;

/// Stands in for /usr/sbin/sendmail: reads a message from standard input and hands it to the SMTP port of a world.
///
/// Exits with 0 if all recipients were accepted, 75 after a temporary failure, 67 for an unknown user, 69 for another
/// refusal, 65 for no recipient or one that is not an address, 64 for invalid options, 74 if the message cannot be read.
/// Options that concern only Postfix or Sendmail (-A -C -G -L -O -U -X -c -e -h -m -n -o -p -x) are accepted and have no
/// effect. A link named `sendmail` to this program does the same.
#[derive(Debug, Args)]
#[command(disable_help_flag = true, args_override_self = true)]
pub(super) struct Sendmail {
    /// The recipients: addresses, users without a domain, or lists such as `ann@a.test, Bob <bob@b.test>`.
    recipients: Vec<String>,
    /// Also sends to the addresses in To, Cc and Bcc (of a resent message: Resent-To, -Cc, -Bcc).
    #[arg(short = 't')]
    from_header: bool,
    /// The envelope sender, to whom failures are reported; empty or <> for none (default: the address in From).
    #[arg(short = 'f', short_alias = 'r', value_name = "ADDRESS", allow_hyphen_values = true)]
    sender: Option<String>,
    /// The sender's name, if the message has no From.
    #[arg(short = 'F', value_name = "NAME", allow_hyphen_values = true)]
    name: Option<String>,
    /// A line with only a dot does not end the message.
    #[arg(short = 'i')]
    ignore_dots: bool,
    /// When to report: `never`, or a list of `success`, `failure` and `delay`.
    #[arg(short = 'N', value_name = "DSN", allow_hyphen_values = true)]
    notify: Option<String>,
    /// What a report of failure returns: `full` or `hdrs`.
    #[arg(short = 'R', value_name = "RETURN", allow_hyphen_values = true)]
    ret: Option<String>,
    /// The sender's identifier of the message, which is repeated in reports.
    #[arg(short = 'V', value_name = "ENVID", allow_hyphen_values = true)]
    envid: Option<String>,
    /// Old options: i is -i; all others, such as e for the reporting of errors, have no effect.
    #[arg(short = 'o', value_name = "OPTION", allow_hyphen_values = true)]
    options: Vec<String>,
    /// m reads a message, s speaks SMTP on standard input and output; i, h and H do nothing.
    #[arg(short = 'b', value_name = "MODE", default_value = "m", value_parser = ["m", "s", "i", "h", "H"])]
    mode: String,
    /// 7BIT or 8BITMIME; has no effect, because the message is inspected.
    #[arg(short = 'B', value_name = "TYPE", allow_hyphen_values = true)]
    body: Option<String>,
    /// Does nothing: the world retries its queues itself.
    #[arg(short = 'q')]
    flush: bool,
    /// Does nothing: aliases are in the world file.
    #[arg(short = 'I')]
    new_aliases: bool,
    /// Prints what the server replied.
    #[arg(short = 'v', action = ArgAction::Count)]
    verbose: u8,
    /// The SMTP port. Default: that of the running world, 127.0.0.1:1025.
    #[arg(short = 'S', long, alias = "smtp-addr", value_name = "HOST:PORT", env = "POSTROAD_SMTP")]
    server: Option<Endpoint>,
    #[command(flatten)]
    world: FindWorld,
    /// The domain of users without one.
    #[arg(long, value_name = "DOMAIN", env = "POSTROAD_ORIGIN", default_value = "localhost")]
    origin: String,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    ignored: Ignored,
}

/// Options that Postfix's sendmail ignores, or that have no effect here.
#[derive(Debug, Args)]
struct Ignored {
    #[arg(short = 'A', short_aliases = ['C', 'L', 'O', 'e', 'h', 'p'], hide = true, allow_hyphen_values = true)]
    with_value: Vec<String>,
    #[arg(short = 'X', hide = true, allow_hyphen_values = true)]
    log: Vec<String>,
    #[arg(short = 'G', short_aliases = ['U', 'c', 'm', 'n', 'x'], hide = true, action = ArgAction::Count)]
    without_value: u8,
}

/// Why nothing was sent, and the exit code.
struct Unsent {
    code: u8,
    why: String,
}

impl Unsent {
    fn new(code: u8, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

impl Sendmail {
    /// Reads a message and submits it, or with `-bs` connects the caller with the server; does nothing with exit code 0
    /// for `-q`, `-I` and other modes. If nothing could be sent, prints why to standard error and returns the exit code
    /// for it.
    ///
    /// # Errors
    /// With `-bs`: the server cannot be reached. Other errors are in the exit code.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        // A message is handed over, also if the caller reads no errors.
        out::complete_work();
        match self.mode.as_str() {
            "s" => return self.pass_through().await,
            "m" if !self.flush && !self.new_aliases => {}
            _ => return Ok(ExitCode::SUCCESS),
        }
        let code = self.send().await.unwrap_or_else(|Unsent { code, why }| {
            eprintln!("postroad sendmail: {}", printable(&why));
            code
        });
        Ok(code.into())
    }

    /// Reads the message from standard input and submits it to all valid recipients, those of the arguments and with
    /// `-t` of the header; returns the exit code. Recipients that are no addresses are reported to standard error, and
    /// make the code 65 at least. Without any valid recipient, or with `-XV`, nothing is sent, which is an error.
    async fn send(&self) -> Result<u8, Unsent> {
        // Postfix's -XV makes an envelope sender for each recipient (VERP).
        if self.ignored.log.iter().any(|value| value.starts_with('V')) {
            return Err(Unsent::new(EX_USAGE, "-XV is not supported"));
        }
        let (fallback, rng) = (self.login_address()?, Rng::from_entropy());
        let sender = self.sender()?;
        let id = format!("{:016x}", rng.next_u64());
        let defaults = MessageDefaults {
            sender: sender.as_ref().and_then(Option::as_ref).unwrap_or(&fallback),
            name: self.name.as_deref(),
            date: Clock::wall().now(),
            id: &id,
            origin: &self.origin,
        };
        let input = SendmailInput::new(&self.message()?, &defaults);
        let mut recipients = AddressArguments::default();
        for list in &self.recipients {
            recipients.add(list, &self.origin);
        }
        if self.from_header {
            recipients.addresses.extend(input.recipients.addresses);
            recipients.invalid.extend(input.recipients.invalid);
        }
        for entry in &recipients.invalid {
            eprintln!("postroad sendmail: `{}` is not an address", printable(entry));
        }
        recipients.addresses.sort();
        recipients.addresses.dedup();
        if recipients.addresses.is_empty() {
            let why = "no recipient; give some as arguments, or use -t to send to those in the message";
            return Err(Unsent::new(EX_DATAERR, why));
        }
        let reverse_path = sender.unwrap_or_else(|| Some(input.from.unwrap_or(fallback)));
        let code = self.submit(reverse_path, recipients.addresses, input.message).await?;
        Ok(if recipients.invalid.is_empty() { code } else { code.max(EX_DATAERR) })
    }

    /// Submits the message and prints what became of it for each recipient; returns the highest exit code of all
    /// recipients. If the server cannot be reached or fails, the error has the code of a temporary failure.
    async fn submit(&self, reverse_path: ReversePath, recipients: Vec<Address>, message: Bytes) -> Result<u8, Unsent> {
        let server = self.server().map_err(|error| Unsent::new(EX_TEMPFAIL, error.to_string()))?;
        let notify = self.notify();
        let envelope = Envelope {
            reverse_path,
            recipients: recipients.iter().map(|to| Recipient { notify, ..to.clone().into() }).collect(),
            body: Body::of(&message),
            ret: self.ret(),
            envid: self.envid(),
            ..Envelope::default()
        };
        let verdicts = self.hand_over(&server, envelope, &Message::new(message)).await;
        let verdicts = verdicts.map_err(|error| Unsent::new(EX_TEMPFAIL, ask_if_running(error.into()).to_string()))?;
        let codes = recipients.iter().zip(&verdicts).map(|(to, verdict)| self.report(to, verdict));
        Ok(codes.max().unwrap_or_default())
    }

    /// The SMTP port to use: that of `--server`, else that of the running world.
    fn server(&self) -> anyhow::Result<Endpoint> {
        self.world.at(self.server.as_ref(), Service::Smtp)
    }

    /// Submits the message over a connection of its own, without TLS and login. The verdicts are in the order of the
    /// recipients.
    async fn hand_over(&self, server: &Endpoint, envelope: Envelope, message: &Message) -> Result<Vec<Verdict>, Error> {
        let (interface, Endpoint { host: name, port }) = (Net::sockets().interface(&[]), server);
        let failed = |why| Error::Net { server: name.clone(), why };
        let addresses = interface.lookup(name, *port).await.map_err(failed)?;
        let trust = Trust::any_certificate(Clock::wall());
        let context = ClientContext { interface, trust, hello: "localhost".to_owned(), transcripts: false };
        let server = Server { name: name.clone(), addresses, security: Security::Plain };
        let mut submitter = Submitter::connect(&context, &server, None).await?;
        let verdicts = submitter.submit(envelope, message).await?;
        submitter.quit().await;
        Ok(verdicts)
    }

    /// Prints the verdict on a recipient, acceptance only with `-v` and anything else to standard error. Returns its
    /// exit code: 0 if accepted, 75 after a temporary failure, 67 for an unknown user (status 5.1.z), else 69.
    fn report(&self, to: &Address, verdict: &Verdict) -> u8 {
        match verdict {
            Verdict::Accepted(reply) => {
                if 0 < self.verbose {
                    println!("{to}: {}", printable(reply.to_string().trim_end()));
                }
                0
            }
            Verdict::NotSent(not_sent) => {
                eprintln!("postroad sendmail: {to}: not sent: {not_sent}");
                if not_sent.is_permanent() { EX_UNAVAILABLE } else { EX_TEMPFAIL }
            }
            Verdict::Refused { reply, .. } => {
                eprintln!("postroad sendmail: {to}: {}", printable(reply.to_string().trim_end()));
                match (reply.code, reply.status()) {
                    (400..500, _) => EX_TEMPFAIL,
                    (_, (5, 1, _)) => EX_NOUSER,
                    _ => EX_UNAVAILABLE,
                }
            }
        }
    }

    /// The value of `-f`: `None` if it was not given, `Some(None)` for the null sender (empty or `<>`). Anything but
    /// one address is an error.
    fn sender(&self) -> Result<Option<ReversePath>, Unsent> {
        let Some(text) = self.sender.as_deref() else { return Ok(None) };
        if matches!(text.trim(), "" | "<>") {
            return Ok(Some(None));
        }
        let mut read = AddressArguments::default();
        read.add(text, &self.origin);
        match <[Address; 1]>::try_from(read.addresses) {
            Ok([address]) if read.invalid.is_empty() => Ok(Some(Some(address))),
            _ => Err(Unsent::new(EX_USAGE, format!("-f: `{text}` is not an address"))),
        }
    }

    /// The address of the user that runs this: `$USER` or `$LOGNAME`, or else `postmaster`, at `--origin`.
    fn login_address(&self) -> Result<Address, Unsent> {
        let user =
            ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
        let user = user.unwrap_or_else(|| "postmaster".to_owned());
        Address::new(&user, &self.origin).map_err(|error| Unsent::new(EX_USAGE, error.to_string()))
    }

    /// The value of `-N`; `None` if it was not given, or is invalid, which is reported and ignored, as by Postfix.
    fn notify(&self) -> Option<Notify> {
        parse_option('N', self.notify.as_deref(), Notify::from_words)
    }

    /// The value of `-R`, in any case of letters; `None` if it was not given, or is invalid, which is reported and
    /// ignored.
    fn ret(&self) -> Option<Return> {
        parse_option('R', self.ret.as_deref(), |word| match word.to_ascii_lowercase().as_str() {
            "full" => Some(Return::Full),
            "hdrs" => Some(Return::Headers),
            _ => None,
        })
    }

    /// The value of `-V`, 1 to 100 printable ASCII characters; `None` if it was not given, or is invalid, which is
    /// reported and ignored.
    fn envid(&self) -> Option<String> {
        let is_valid = |text: &str| {
            (1..=MAX_ENVID_BYTES).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        };
        parse_option('V', self.envid.as_deref(), |text| is_valid(text).then(|| text.to_owned()))
    }

    /// Reads the message from standard input to its end, and drops what comes from a line with only a dot on, unless
    /// `-i` or `-oi` was given. Line ends stay as they are. Input that cannot be read, or is larger than
    /// [`MAX_MESSAGE_BYTES`], is an error.
    fn message(&self) -> Result<Vec<u8>, Unsent> {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().take(MAX_MESSAGE_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|why| Unsent::new(EX_IOERR, format!("cannot read the message from standard input: {why}")))?;
        if MAX_MESSAGE_BYTES < bytes.len() as u64 {
            return Err(Unsent::new(EX_DATAERR, format!("the message is larger than {MAX_MESSAGE_BYTES} bytes")));
        }
        if !self.ignore_dots && !self.options.iter().any(|option| option.starts_with('i')) {
            let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let is_end = |line: &[u8]| matches!(line, b"." | b".\n" | b".\r\n");
            let end = lines.by_ref().take_while(|line| !is_end(line)).map(<[u8]>::len).sum();
            bytes.truncate(end);
        }
        Ok(bytes)
    }

    /// Serves `-bs`: copies standard input to the server and its replies to standard output, until the server closes
    /// the connection. The exit code is 0.
    async fn pass_through(&self) -> anyhow::Result<ExitCode> {
        let interface = Net::sockets().interface(&[]);
        let Endpoint { host, port } = self.server()?;
        let addresses = interface.lookup(&host, port).await?;
        let (mut from, mut to) = split(interface.connect_any(&host, &addresses, CONNECT_TIMEOUT).await?);
        let upload = async {
            copy(&mut stdin(), &mut to).await?;
            to.shutdown().await
        };
        let download = async {
            copy(&mut from, &mut stdout()).await?;
            stdout().flush().await
        };
        tokio::select! {
            biased;
            // The server always closes the connection last.
            finished = download => finished?,
            failed = async { match upload.await { Ok(()) => std::future::pending().await, Err(error) => error } } => {
                return Err(failed.into());
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns the value of the option -`option` as `read` parses it; `None` if `value` is `None`, or if `read` returns
/// `None`, which is reported to standard error as an invalid value that is ignored.
fn parse_option<'a, T>(option: char, value: Option<&'a str>, read: impl FnOnce(&'a str) -> Option<T>) -> Option<T> {
    let read = read(value?);
    if read.is_none() {
        eprintln!("postroad sendmail: the invalid value of -{option} is ignored");
    }
    read
}
