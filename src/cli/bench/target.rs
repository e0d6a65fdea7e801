//! The server to measure: one of this program in its own process, or another.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tempfile::TempDir;

use super::super::common::Endpoint;
use super::figure::Figures;
use crate::bench::{Processes, Served};
use crate::net::{Interface, Net, Trust};
use crate::world::Clock;

/// The server to measure and the duration.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// Measures this server instead of starting one: HOST:PORT of its IMAP or POP3 listener.
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<Endpoint>,
    /// The login; an `n` in braces stands for 0, 1, 2 and 3 where several maildrops are needed. Their mail is deleted.
    #[arg(long, value_name = "NAME", default_value = "bench{n}@bench.test")]
    user: String,
    /// The password.
    #[arg(long, value_name = "TEXT", default_value = "postroad")]
    password: String,
    /// Use STARTTLS or STLS.
    #[arg(long)]
    starttls: bool,
    /// A process id of that server: reports the memory used by it and its children. May be repeated.
    #[arg(long, value_name = "PID", requires = "target")]
    pid: Vec<u32>,
    /// Number of 4 KiB messages in the mailbox.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(super) messages: u32,
    /// Duration of each case.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::super::common::duration)]
    pub(super) time: Duration,
    /// Measures only cases whose name begins with this text, as in "FETCH 1:*". May be repeated.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// The address and login of the server.
pub(super) struct Target {
    pub(super) interface: Interface,
    pub(super) trust: Trust,
    pub(super) starttls: bool,
    pub(super) password: String,
    user: String,
    imap: Option<SocketAddr>,
    pop3: Option<SocketAddr>,
    pub(super) processes: Processes,
    ours: Option<Ours>,
}

/// A started server and its temporary folder.
struct Ours {
    /// Dropped before the folder.
    served: Option<Served>,
    folder: TempDir,
}

/// The protocol to measure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Imap,
    Pop3,
}

impl TargetArgs {
    /// An empty list of figures, which prints and wants what the options say.
    pub(super) fn figures(&self) -> Figures {
        Figures { quiet: self.json, only: self.only.clone(), ..Figures::default() }
    }

    /// Returns the server to measure: that of `--target`, resolved, which is an IMAP or a POP3 server as `service`
    /// says; without `--target`, a server of this program that is started, which has both ports. `imap` is the IMAP
    /// server beside a POP3 server of `--target`, for filling its maildrops.
    pub(super) async fn find(&self, service: Service, imap: Option<&Endpoint>) -> anyhow::Result<Target> {
        let mut target = Target {
            interface: Net::sockets().interface(&[]),
            trust: Trust::any_certificate(Clock::wall()),
            starttls: self.starttls,
            password: self.password.clone(),
            user: self.user.clone(),
            imap: None,
            pop3: None,
            processes: Processes::new(self.pid.clone()),
            ours: None,
        };
        let Some(endpoint) = &self.target else {
            let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
            target.ours = Some(Ours { served: None, folder });
            target.restart().await?;
            return Ok(target);
        };
        let at = target.lookup(endpoint).await?;
        match service {
            Service::Imap => target.imap = Some(at),
            Service::Pop3 => target.pop3 = Some(at),
        }
        if let Some(imap) = imap {
            target.imap = Some(target.lookup(imap).await?);
        }
        Ok(target)
    }
}

impl Target {
    /// Resolves an endpoint to its first address; an error if it has none.
    async fn lookup(&self, endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
        let found = self.interface.lookup(&endpoint.host, endpoint.port).await?;
        found.first().copied().with_context(|| format!("{} has no address", endpoint.host))
    }

    /// Stops the server of this program if it runs, starts it again with the same data, and notes its new addresses.
    /// Returns `true`; does nothing and returns `false` if the target is another server.
    pub(super) async fn restart(&mut self) -> anyhow::Result<bool> {
        let Some(ours) = &mut self.ours else { return Ok(false) };
        if ours.served.take().is_some() {
            std::fs::remove_file(ours.folder.path().join("ports.json"))?;
        }
        let served = Served::start(ours.folder.path(), None, &[]).await?;
        (self.imap, self.pop3) = (Some(served.port("imap")?), Some(served.port("pop3")?));
        self.processes = served.processes();
        ours.served = Some(served);
        Ok(true)
    }

    /// The address of the IMAP server; an error if the target is a POP3 server without `--imap`.
    pub(super) fn imap(&self) -> anyhow::Result<SocketAddr> {
        self.imap.context("the address of its IMAP server is needed: --imap HOST:PORT")
    }

    /// The address of the POP3 server; an error if the target is an IMAP server.
    pub(super) fn pop3(&self) -> anyhow::Result<SocketAddr> {
        self.pop3.context("the server has no POP3 listener")
    }

    /// The login of the user with number `n`: `--user`, in which the number replaces `{n}`.
    pub(super) fn user(&self, n: usize) -> String {
        self.user.replace("{n}", &n.to_string())
    }
}
