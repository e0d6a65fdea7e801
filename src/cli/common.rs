//! Shared by several commands: arguments and signals.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use url::Url;

use super::out;
use crate::control::{self, Traces};
use crate::host::RunningWorld;
use crate::journey::Subscription;
use crate::mua::{ClientContext, Security, Server};
use crate::net::{Net, Stop, Trust};
use crate::store::Store;
use crate::world::{Clock, World};

/// Reads and checks the world file at `path`; without a path, returns the built-in world. An invalid file is an error.
pub(super) fn world(path: Option<&Path>) -> anyhow::Result<World> {
    match path {
        None => Ok(World::journey()),
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(World::parse(&path.display().to_string(), &text)?)
        }
    }
}

/// The default data folder of a world: `postroad/NAME` under `$XDG_DATA_HOME` or `~/.local/share`; `postroad-data/NAME`
/// in the working folder if there is no home.
pub(super) fn data_folder(world: &World) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    home.map_or_else(|| PathBuf::from("postroad-data"), |home| home.join("postroad")).join(&world.name)
}

/// Parses the URL of a collector of traces, which must have the scheme `http`, a host and no user; the error says what
/// such a URL looks like.
pub(super) fn collector_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host() && url.username().is_empty());
    url.ok_or("a collector needs a URL such as http://127.0.0.1:4318")
}

/// Returns a future that sends the events of a running world to a collector as traces until the world stops.
/// `has_all_hosts` says whether the events include those of every host, so that the end of a journey is known.
pub(super) fn traces(
    running: &RunningWorld,
    collector: Url,
    events: Subscription,
    has_all_hosts: bool,
) -> impl Future<Output = ()> + Send + use<> {
    let traces = Traces {
        collector,
        interface: Net::sockets().interface(&[]),
        event_log: running.env.event_log.clone(),
        world: running.env.world.name.clone(),
        has_all_hosts,
    };
    control::send_traces(traces, events, running.stopping())
}

/// Options for the connection to a server.
#[derive(Debug, clap::Args)]
pub(super) struct ExternalPorts {
    /// How the connection is encrypted. Default: upgrade; `send` to a loopback address does without if none is offered.
    #[arg(long, value_enum)]
    security: Option<SecurityChoice>,
    /// Trust this certificate authority (PEM), as printed by `postroad ca`.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Trust any certificate. This is the default on loopback addresses, unless --ca is given.
    #[arg(long)]
    insecure: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SecurityChoice {
    /// Not encrypted.
    Plain,
    /// STARTTLS or STLS before the login.
    Upgrade,
    /// TLS from the start.
    Tls,
}

impl ExternalPorts {
    /// Resolves the endpoint; returns a client context on real sockets and the server to connect to. The options decide
    /// on trust and encryption. Without them, a server with loopback addresses only is trusted with any certificate and
    /// encrypted as `here` says; any other needs a public certificate and an upgrade to TLS.
    pub(super) async fn find(&self, to: &Endpoint, here: Security) -> anyhow::Result<(ClientContext, Server)> {
        let interface = Net::sockets().interface(&[]);
        let addresses = interface.lookup(&to.host, to.port).await?;
        let is_here = addresses.iter().all(|address| address.ip().is_loopback());
        let trust = match &self.ca {
            Some(path) => {
                let pem = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Trust::pem(&pem, Clock::wall())?
            }
            None if self.insecure || is_here => Trust::any_certificate(Clock::wall()),
            None => Trust::public(Clock::wall()),
        };
        let security = match self.security {
            Some(SecurityChoice::Plain) => Security::Plain,
            Some(SecurityChoice::Upgrade) => Security::Upgrade,
            Some(SecurityChoice::Tls) => Security::Immediate,
            None if is_here => here,
            None => Security::Upgrade,
        };
        let name = to.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let context = ClientContext { interface, trust, hello: "localhost".to_owned(), transcripts: false };
        Ok((context, Server { name, addresses, security }))
    }
}

/// A host name or address and a port. An IPv6 address has its brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Endpoint {
    type Err = &'static str;

    /// Parses `HOST:PORT`; an IPv6 address needs its brackets. The error says what is expected.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = "expected HOST:PORT, such as 127.0.0.1:9999, localhost:9999 or [::1]:9999";
        let (host, port) = text.rsplit_once(':').ok_or(invalid)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.trim_matches('.').is_empty() || (host.contains(':') && !host.starts_with('[')) {
            return Err(invalid);
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| invalid)? })
    }
}

/// Parses `2s`, `250ms`, `1min`, or a number of seconds. Negative times are errors.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is not a time such as 2s, 250ms or 1min");
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| invalid());
    }
    let time: jiff::SignedDuration = text.parse().map_err(|_| invalid())?;
    Duration::try_from(time).map_err(|_| invalid())
}

/// The exit code of a world whose disk failed: EX_IOERR of sysexits.h. A supervisor may start it again.
const EXIT_IO_ERROR: u8 = 74;

/// Waits until `signal` fires, and returns the exit code 0; or until the store stops after a failure of the disk,
/// prints that to standard error, and returns [`EXIT_IO_ERROR`].
pub(super) async fn until_stopped(signal: &Stop, store: &Store) -> ExitCode {
    tokio::select! {
        biased;
        () = signal.cancelled() => ExitCode::SUCCESS,
        error = store.stopped() => {
            eprintln!("postroad: {error}");
            ExitCode::from(EXIT_IO_ERROR)
        }
    }
}

/// Returns a stop that is triggered by Ctrl-C or SIGTERM, or when the output is lost. The command must end by itself
/// then: it is not dropped any more. If signals cannot be listened for, a warning is logged, and only the loss of the
/// output triggers it.
pub(super) fn stop_at_signal() -> Stop {
    let (stop, lost) = (Stop::new(), out::stop_when_lost());
    let fired = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = lost.cancelled() => {}
            signalled = signal() => {
                if let Err(error) = signalled {
                    tracing::warn!(%error, "cannot listen for signals");
                    lost.cancelled().await;
                }
            }
        }
        fired.cancel();
    });
    stop
}

/// Waits for Ctrl-C or SIGTERM; an error if they cannot be listened for.
#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Waits for Ctrl-C; an error if it cannot be listened for.
#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_and_endpoint_parse_valid_text_only() {
        for (text, millis) in [("2", 2000), ("0.5", 500), ("250ms", 250), ("1min", 60_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(["", "soon", "-1", "-1s", "nan", "inf"].iter().all(|text| duration(text).is_err()));
        for (text, host) in [("localhost:1", "localhost"), ("[::1]:1", "[::1]"), ("127.0.0.1:1", "127.0.0.1")] {
            assert_eq!(text.parse(), Ok(Endpoint { host: host.into(), port: 1 }));
        }
        assert!(
            ["localhost", "::1", ":1", "[]:1", ".:1", "a:b", "a:65536"]
                .iter()
                .all(|text| text.parse::<Endpoint>().is_err())
        );
    }
}
