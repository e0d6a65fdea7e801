//! `postroad greeter serve|call`: the smallest conversation over TCP.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::common::{Endpoint, duration, printable, stop_at_signal};
use crate::demo::greeter::{self, Calling, Greeter as Service, Happening};
use crate::net::{Door, Limits, Net, serve};

/// Greets callers over TCP, or calls a greeter.
#[derive(Debug, Args)]
pub(super) struct Greeter {
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
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
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
