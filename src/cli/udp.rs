//! `postroad udp serve|call`: the smallest exchange of datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU8;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::common::{Endpoint, duration, stop_at_signal};
use crate::demo::echo::{self, Persistence};
use crate::net::Net;

/// Greets by UDP, or asks to be greeted.
#[derive(Debug, Args)]
pub(super) struct Udp {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Answers each datagram with a greeting.
    Serve(Serve),
    /// Sends each name in a datagram and prints the answer; exits with 1 if one was lost.
    Call(Call),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9999")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct Call {
    /// The names to send.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The server.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9999")]
    to: Endpoint,
    /// How long to wait for an answer before the datagram is taken for lost.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    timeout: Duration,
    /// How often to send each name.
    #[arg(long, value_name = "COUNT", default_value = "3")]
    attempts: NonZeroU8,
    /// Print the answers as JSON.
    #[arg(long)]
    json: bool,
}

impl Udp {
    /// Does it.
    ///
    /// # Errors
    /// The port cannot be opened, or the server's name is not known.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.side {
            Side::Serve(serve) => serve.run().await,
            Side::Call(call) => call.run().await,
        }
    }
}

impl Serve {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let socket = Net::sockets().interface(&[self.listen.ip()]).bind_udp(self.listen.port()).await?;
        println!("Waiting for datagrams at {}...", socket.address());
        echo::serve(socket, stop_at_signal(), |from| println!("Received from {from}.")).await;
        Ok(ExitCode::SUCCESS)
    }
}

impl Call {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let net = Net::sockets();
        let found = net.interface(&[]).lookup(&self.to.host, self.to.port).await?;
        // Nobody says whether a datagram can arrive, so there is no second address to fall back to.
        let server = *found.iter().find(|address| address.is_ipv4()).or(found.first()).context("no address")?;
        let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = net.interface(&[any]).bind_udp(0).await?;
        let persistence = Persistence { patience: self.timeout, attempts: self.attempts.get().into() };
        let (mut answers, mut lost) = (Vec::new(), Vec::new());
        for name in &self.names {
            let answer = echo::call(&socket, server, name, persistence).await?;
            match &answer {
                Some(words) if !self.json => println!("{words}"),
                Some(_) => {}
                None => lost.push(name.as_str()),
            }
            answers.push(json!({ "name": name, "answer": answer }));
        }
        if self.json {
            println!("{}", json!({ "answers": answers }));
        }
        if lost.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("lost: {} (no answer from {server} in {} attempts)", lost.join(", "), self.attempts);
        Ok(ExitCode::FAILURE)
    }
}
