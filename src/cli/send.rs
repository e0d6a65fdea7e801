//! `postroad send`: submits messages.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;

use super::common::{Endpoint, ExternalPorts};
use super::find_world::FindWorld;
use super::out::printable;
use crate::mail::{Address, Body, Envelope, Message};
use crate::mua::{Attachment, Draft, Login, Security, Source, Submitter, Verdict, read_sources};
use crate::world::{Clock, Rng, Service};

/// Submits a composed message, or messages from files.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The sender.
    #[arg(long, value_name = "ADDRESS")]
    from: Address,
    /// A recipient; may be repeated.
    #[arg(long, value_name = "ADDRESS", required = true)]
    to: Vec<Address>,
    /// The subject.
    #[arg(long, default_value = "Hello")]
    subject: String,
    /// The text.
    #[arg(long, default_value = "Hello!\n")]
    text: String,
    /// A file to attach; may be repeated.
    #[arg(long, value_name = "FILE")]
    attach: Vec<PathBuf>,
    /// Messages to send unchanged: a message file, an mbox, or a folder of these; may be repeated.
    #[arg(long, value_name = "FILE-OR-FOLDER", conflicts_with_all = ["subject", "text", "attach"])]
    mail: Vec<PathBuf>,
    /// The submission server. Default: that of the running world, 127.0.0.1:1587.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<Endpoint>,
    #[command(flatten)]
    world: FindWorld,
    /// The login. Default: the sender's address; empty for no login.
    #[arg(long)]
    user: Option<String>,
    /// The password.
    #[arg(long, env = "POSTROAD_PASSWORD", default_value = "postroad", hide_env_values = true)]
    password: String,
    #[command(flatten)]
    reach: ExternalPorts,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Send {
    /// Submits the composed message, or those of `--mail`, over one connection, and prints the verdict on each
    /// recipient. The exit code is 1 if a recipient was not accepted for one of them.
    ///
    /// # Errors
    /// A file cannot be read, or the server is unreachable or refuses the login.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let sources = self.sources()?;
        let (context, server) = self
            .reach
            .find(&self.world.at(self.server.as_ref(), Service::Submission)?, Security::UpgradeIfOffered)
            .await?;
        let user = self.user.clone().unwrap_or_else(|| self.from.to_string());
        let login = (!user.is_empty()).then(|| Login { user, password: self.password.clone() });
        let mut submitter = Submitter::connect(&context, &server, login.as_ref()).await?;
        let mut all_accepted = true;
        for source in sources {
            if source.normalized && !self.json {
                eprintln!("{}: a lone CR or LF was replaced by a line end", source.name);
            }
            let body = Body::of(&source.message);
            let envelope = Envelope {
                reverse_path: Some(self.from.clone()),
                recipients: self.to.iter().cloned().map(Into::into).collect(),
                body,
                ..Envelope::default()
            };
            let verdicts = submitter.submit(envelope, &Message::new(source.message.clone())).await?;
            all_accepted &= self.print(&source, &verdicts);
        }
        submitter.quit().await;
        Ok(if all_accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Prints the verdicts, which are in the order of `--to`, a line each, as JSON with `--json`; returns whether all
    /// recipients were accepted.
    fn print(&self, source: &Source, verdicts: &[Verdict]) -> bool {
        let mut all_accepted = true;
        for (to, verdict) in self.to.iter().zip(verdicts) {
            let (accepted, text) = match verdict {
                Verdict::Accepted(reply) => (true, reply.to_string()),
                Verdict::Refused { stage, reply } => (false, format!("refused at {stage}: {reply}")),
                Verdict::NotSent(not_sent) => (false, format!("not sent: {not_sent}")),
            };
            all_accepted &= accepted;
            if self.json {
                println!(
                    "{}",
                    json!({ "message": source.name, "to": to, "accepted": accepted, "reply": text, "normalized": source.normalized })
                );
            } else {
                println!("{} to {to}: {}", source.name, printable(text.trim_end()));
            }
        }
        all_accepted
    }

    /// The messages to send: those of `--mail`, or the composed one if there is no `--mail`.
    fn sources(&self) -> anyhow::Result<Vec<Source>> {
        if self.mail.is_empty() {
            return Ok(vec![self.compose()?]);
        }
        let mut sources = Vec::new();
        for path in &self.mail {
            sources.extend(read_sources(path)?);
        }
        Ok(sources)
    }

    /// Composes the message of `--subject`, `--text` and `--attach`; every attachment is `application/octet-stream`.
    fn compose(&self) -> anyhow::Result<Source> {
        let mut attachments = Vec::new();
        for path in &self.attach {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let Some(name) = path.file_name() else { bail!("{} is not a file", path.display()) };
            let media_type = "application/octet-stream".to_owned();
            attachments.push(Attachment { name: name.to_string_lossy().into_owned(), media_type, bytes });
        }
        ensure!(!self.to.is_empty(), "name at least one recipient with --to");
        let draft = Draft {
            from: self.from.clone(),
            to: self.to.clone(),
            cc: Vec::new(),
            subject: self.subject.clone(),
            text: self.text.clone(),
            attachments,
            date: Clock::wall().now(),
            id: format!("{:016x}", Rng::from_entropy().next_u64()),
        };
        Ok(Source { name: "message".to_owned(), message: draft.write()?.into(), normalized: false })
    }
}
