//! `postroad udp serve|call`: a minimal UDP server and client.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;

use super::common::{Endpoint, duration, stop_at_signal};
use crate::demo::echo::{self, RetryPolicy};
use crate::net::Net;

/// Runs the UDP echo server, or calls one.
#[derive(Debug, Args)]
pub(super) struct Udp {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Replies to each datagram with a greeting.
    Serve(Serve),
    /// Sends each name in a datagram and prints the reply; exits with 1 if one was not answered.
    Call(Call),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen: at this address only; 0.0.0.0 is all addresses of this machine, and port 0 picks a free one.
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
    /// How long to wait for a reply to one datagram.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    timeout: Duration,
    /// Number of times each name is sent.
    #[arg(long, value_name = "COUNT", default_value = "3")]
    attempts: NonZeroU8,
    /// Print the replies as JSON.
    #[arg(long)]
    json: bool,
}

impl Udp {
    /// Runs the server until it is stopped by a signal, or the client until each name has a reply or no attempts left.
    ///
    /// # Errors
    /// The port cannot be opened, or the server's name cannot be resolved.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.side {
            Side::Serve(serve) => serve.run().await,
            Side::Call(call) => call.run().await,
        }
    }
}

impl Serve {
    /// Serves the echo at `--listen` until Ctrl-C or SIGTERM; prints its address, and a line for each datagram that
    /// gets a reply.
    async fn run(self) -> anyhow::Result<ExitCode> {
        let socket = Net::sockets().interface(&[]).bind_public_udp(self.listen).await?;
        println!("Waiting for datagrams at {}...", socket.address());
        echo::serve(socket, stop_at_signal(), |from| println!("Received from {from}.")).await;
        Ok(ExitCode::SUCCESS)
    }
}

impl Call {
    /// Sends each name in turn to one address of the server, IPv4 if it has one, and prints the replies; with `--json`,
    /// as one object. Names without a reply are printed to standard error, and the exit code is then 1.
    async fn run(self) -> anyhow::Result<ExitCode> {
        let net = Net::sockets();
        let found = net.interface(&[]).lookup(&self.to.host, self.to.port).await?;
        // UDP does not report whether an address is reachable, so only one is tried.
        let server = *found.iter().find(|address| address.is_ipv4()).or(found.first()).context("no address")?;
        let socket = net.interface(&[server.ip()]).bind_udp().await?;
        let retry = RetryPolicy { timeout: self.timeout, attempts: self.attempts.get().into() };
        let (mut answers, mut lost) = (Vec::new(), Vec::new());
        for name in &self.names {
            let answer = echo::call(&socket, server, name, retry).await?;
            match &answer {
                Some(text) if !self.json => println!("{text}"),
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
        eprintln!("lost: {} (no reply from {server} in {} attempts)", lost.join(", "), self.attempts);
        Ok(ExitCode::FAILURE)
    }
}
