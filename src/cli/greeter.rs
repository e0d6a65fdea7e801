//! `postroad greeter serve|call`: the smallest conversation over TCP.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::demo::greeter::{self, Calling, Greeter as Service, Happening};
use crate::net::{Door, Limits, Net, Stop, serve};

/// Greets callers over TCP, or calls a greeter.
#[derive(Debug, Args)]
pub struct Greeter {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Says welcome to everybody who connects and greets each name they say.
    Serve(Serve),
    /// Says names to a greeter and prints what it answers.
    Call(Call),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9999")]
    listen: SocketAddr,
    /// How long to think about each name.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    delay: Duration,
}

#[derive(Debug, Args)]
struct Call {
    /// The names to say.
    #[arg(required = true, value_name = "NAME", value_parser = greeter::sayable)]
    names: Vec<String>,
    /// The greeter.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9999")]
    to: Endpoint,
    /// How long to wait for each answer.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Print the answers as JSON.
    #[arg(long)]
    json: bool,
}

impl Greeter {
    /// Does it.
    ///
    /// # Errors
    /// The network failed, or the greeter did not answer everything.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.side {
            Side::Serve(serve) => serve.run().await,
            Side::Call(call) => call.run().await,
        }
    }
}

impl Serve {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let place = Net::sockets().interface(&[self.listen.ip()]);
        let service = Service { delay: self.delay, report: Arc::new(report) };
        let stop = stop_at_signal();
        for listener in place.listen(self.listen.port()).await? {
            println!("Waiting for connections at {}...", listener.address());
            let door = Door { listener, tls: None, limits: Limits::default() };
            serve(door, service.clone(), stop.clone()).await;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn report(happening: Happening) {
    match happening {
        Happening::Came(peer) => println!("Accept new connection from {peer}..."),
        Happening::Went(peer) => println!("Connection from {peer} closed."),
    }
}

impl Call {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let place = Net::sockets().interface(&[]);
        let addresses = place.lookup(&self.to.host, self.to.port).await?;
        let stream = place.connect_any(&self.to.host, &addresses).await?;
        let mut said = Vec::new();
        let hear = |words: String| {
            if !self.json {
                println!("{}", printable(&words));
            }
            said.push(words);
        };
        let calling = Calling::new(self.names.clone(), self.timeout);
        greeter::call(stream, calling, hear).await.context("the greeter did not answer everything")?;
        if self.json {
            println!("{}", serde_json::json!({ "names": self.names, "said": said }));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected HOST:PORT, such as 127.0.0.1:9999, localhost:9999 or [::1]:9999";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
            return Err(wrong);
        }
        Ok(Self { host: host.to_owned(), port: port.parse().map_err(|_| wrong)? })
    }
}

/// Reads `2s`, `250ms`, `1min`, or a bare number of seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time such as 2s, 250ms or 1min");
    if let Ok(seconds) = text.parse() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let time: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(time).map_err(|_| wrong())
}

/// What a peer said, without the control characters that would steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.replace(|char: char| char.is_control() && !matches!(char, '\n' | '\t'), "\u{fffd}")
}

/// A stop that fires at Ctrl-C or SIGTERM.
pub(super) fn stop_at_signal() -> Stop {
    let stop = Stop::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        if let Err(error) = signal().await {
            tracing::warn!(%error, "cannot listen for signals");
            return;
        }
        fired.cancel();
    });
    stop
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_places_are_read_as_people_write_them() {
        for (text, millis) in [("2", 2000), ("0.5", 500), ("250ms", 250), ("1min", 60_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert!(["", "soon", "-1", "-1s", "nan", "inf"].iter().all(|text| duration(text).is_err()));
        for (text, host) in [("localhost:1", "localhost"), ("[::1]:1", "[::1]"), ("127.0.0.1:1", "127.0.0.1")] {
            assert_eq!(text.parse(), Ok(Endpoint { host: host.into(), port: 1 }));
        }
        assert!(["localhost", "::1", ":1", "a:b", "a:65536"].iter().all(|text| text.parse::<Endpoint>().is_err()));
    }

    #[test]
    fn a_peer_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\tb\n"), "a\u{fffd}[2J\tb\n");
    }
}
