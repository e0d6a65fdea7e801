//! The server under load: one of ours, in a process and a folder of its own, or any other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::super::common::Endpoint;
use crate::net::{Interface, Net, Trust};
use crate::world::Clock;

/// How long our server may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// Who is loaded, and how long.
#[derive(Debug, Args)]
pub(super) struct Aim {
    /// Load this server instead of one of ours: HOST:PORT of its IMAP or POP3.
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<Endpoint>,
    /// Who logs in there; `{n}` stands for 0, 1, 2 and 3 where several maildrops are needed. Their mail is deleted.
    #[arg(long, value_name = "NAME", default_value = "bench{n}@bench.test")]
    user: String,
    /// The password.
    #[arg(long, value_name = "TEXT", default_value = "postroad")]
    password: String,
    /// Encrypts by STARTTLS or STLS first.
    #[arg(long)]
    starttls: bool,
    /// A process of that server, by its number: its memory is told. May be repeated.
    #[arg(long, value_name = "PID", requires = "target")]
    pid: Vec<u32>,
    /// Messages of 4 KiB in the mailbox.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub(super) messages: u32,
    /// How long each case is repeated.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = super::super::common::duration)]
    pub(super) time: Duration,
    /// Print the figures as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Where it is, and how to get in.
pub(super) struct Target {
    pub(super) interface: Interface,
    pub(super) trust: Trust,
    pub(super) starttls: bool,
    pub(super) password: String,
    user: String,
    imap: Option<SocketAddr>,
    pop3: Option<SocketAddr>,
    pids: Vec<u32>,
    pub(super) ours: Option<Ours>,
}

/// A served world, killed when it is dropped.
pub(super) struct Ours {
    folder: TempDir,
    child: Child,
}

/// What the target of a benchmark speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Imap,
    Pop3,
}

impl Aim {
    /// Finds the server, or starts ours. `imap` is where maildrops of a POP3 server are filled.
    pub(super) async fn find(&self, service: Service, imap: Option<&Endpoint>) -> anyhow::Result<Target> {
        let mut target = Target {
            interface: Net::sockets().interface(&[]),
            trust: Trust::anyone(Clock::wall())?,
            starttls: self.starttls,
            password: self.password.clone(),
            user: self.user.clone(),
            imap: None,
            pop3: None,
            pids: self.pid.clone(),
            ours: None,
        };
        let Some(endpoint) = &self.target else {
            let folder = tempfile::Builder::new().prefix("postroad-bench-").tempdir()?;
            let child = serve(&folder)?;
            target.ours = Some(Ours { folder, child });
            target.wait().await?;
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

fn serve(folder: &TempDir) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    // Nothing of the caller's surroundings changes what is measured.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"POSTROAD_")) {
        command.env_remove(name);
    }
    command.args(["serve", "--free-ports", "--data"]).arg(folder.path().join("data"));
    command.arg("--ports-file").arg(folder.path().join("ports.json"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().context("our own server does not start")
}

impl Target {
    async fn lookup(&self, endpoint: &Endpoint) -> anyhow::Result<SocketAddr> {
        let found = self.interface.lookup(&endpoint.host, endpoint.port).await?;
        found.first().copied().with_context(|| format!("{} has no address", endpoint.host))
    }

    async fn wait(&mut self) -> anyhow::Result<()> {
        let Some(ours) = &mut self.ours else { return Ok(()) };
        let file = ours.folder.path().join("ports.json");
        let began = Instant::now();
        let text = loop {
            match std::fs::read_to_string(&file) {
                Ok(text) => break text,
                Err(_) if PATIENCE < began.elapsed() => anyhow::bail!("our own server did not listen in {PATIENCE:?}"),
                Err(_) => {}
            }
            if let Ok(Some(status)) = ours.child.try_wait() {
                anyhow::bail!("our own server ended: {status}");
            }
            sleep(PAUSE).await;
        };
        let ports: BTreeMap<String, SocketAddr> = serde_json::from_str(&text)?;
        self.imap = ports.get("imap").copied();
        self.pop3 = ports.get("pop3").copied();
        self.pids = vec![ours.child.id()];
        Ok(())
    }

    /// Ends our own server and starts it again on the same folder; `false` when it is not ours.
    pub(super) async fn restart(&mut self) -> anyhow::Result<bool> {
        let Some(ours) = &mut self.ours else { return Ok(false) };
        ours.child.kill()?;
        ours.child.wait()?;
        std::fs::remove_file(ours.folder.path().join("ports.json"))?;
        ours.child = serve(&ours.folder)?;
        self.wait().await.map(|()| true)
    }

    pub(super) fn imap(&self) -> anyhow::Result<SocketAddr> {
        self.imap.context("where is its IMAP? say so with --imap HOST:PORT")
    }

    pub(super) fn pop3(&self) -> anyhow::Result<SocketAddr> {
        self.pop3.context("the server has no POP3")
    }

    /// The login of the `n`th user.
    pub(super) fn user(&self, n: usize) -> String {
        self.user.replace("{n}", &n.to_string())
    }

    /// Resident memory of its processes, in octets, as far as that can be known.
    pub(super) fn memory(&self) -> Option<u64> {
        let of = |pid: &u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        if self.pids.is_empty() { None } else { self.pids.iter().map(of).sum() }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
