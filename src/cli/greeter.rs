//! `postroad greeter serve|call`: a minimal TCP server and client.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::common::{Endpoint, duration, stop_at_signal};
use super::find_world::FindWorld;
use super::out::printable;
use crate::demo::greeter::{self, Greeter as Service, GreeterClient, GreeterEvent};
use crate::net::{Limits, Net, ServerConfig, serve};
use crate::world;

/// Runs the greeter server over TCP, or calls one.
#[derive(Debug, Args)]
pub(super) struct Greeter {
    #[command(subcommand)]
    side: Side,
}

#[derive(Debug, Subcommand)]
enum Side {
    /// Sends a welcome to each client and replies to each name.
    Serve(Serve),
    /// Sends names to a greeter and prints its replies.
    Call(Call),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where to listen: at this address only; 0.0.0.0 is all addresses of this machine, and port 0 picks a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9999")]
    listen: SocketAddr,
    /// Delay before each reply.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    delay: Duration,
}

#[derive(Debug, Args)]
struct Call {
    /// The names to send.
    #[arg(required = true, value_name = "NAME", value_parser = greeter::parse_name)]
    names: Vec<String>,
    /// The greeter. Default: that of the running world, 127.0.0.1:9999.
    #[arg(long, value_name = "HOST:PORT")]
    to: Option<Endpoint>,
    #[command(flatten)]
    world: FindWorld,
    /// Timeout for the connection and for each reply.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Print the replies as JSON.
    #[arg(long)]
    json: bool,
}

impl Greeter {
    /// Runs the server until it is stopped by a signal, or the client until it has all replies. The exit code is 0.
    ///
    /// # Errors
    /// The network failed, or a reply is missing.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.side {
            Side::Serve(serve) => serve.run().await,
            Side::Call(call) => call.run().await,
        }
    }
}

impl Serve {
    /// Serves the greeter at `--listen` until Ctrl-C or SIGTERM; prints its address, and a line for each connection
    /// that begins or ends.
    async fn run(self) -> anyhow::Result<ExitCode> {
        let listener = Net::sockets().interface(&[]).bind_public(self.listen).await?;
        let service = Service { delay: self.delay, report: Arc::new(report) };
        println!("Waiting for connections at {}...", listener.address());
        let config = ServerConfig { listener, tls: None, limits: Limits::default() };
        serve(config, service, stop_at_signal()).await;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints a line about a connection that begins or ends.
fn report(event: GreeterEvent) {
    match event {
        GreeterEvent::Connected(peer) => println!("Accept new connection from {peer}..."),
        GreeterEvent::Disconnected(peer) => println!("Connection from {peer} closed."),
    }
}

impl Call {
    /// Connects to a greeter, sends all names and prints its texts, the welcome first, as they come; with `--json`, as
    /// one object at the end. A missing reply is an error.
    async fn run(self) -> anyhow::Result<ExitCode> {
        let place = Net::sockets().interface(&[]);
        let Endpoint { host, port } = self.world.at(self.to.as_ref(), world::Service::Greeter)?;
        let addresses = place.lookup(&host, port).await?;
        let stream = place.connect_any(&host, &addresses, self.timeout).await?;
        let mut replies = Vec::new();
        let on_reply = |text: String| {
            if !self.json {
                println!("{}", printable(&text));
            }
            replies.push(text);
        };
        let client = GreeterClient::new(self.names.clone(), self.timeout);
        greeter::call(stream, client, on_reply).await.context("the greeter did not reply to every name")?;
        if self.json {
            println!("{}", serde_json::json!({ "names": self.names, "said": replies }));
        }
        Ok(ExitCode::SUCCESS)
    }
}
