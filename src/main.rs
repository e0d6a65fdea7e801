//! The program: see `postroad --help`.

use std::process::ExitCode;

use postroad::cli::Cli;
use tracing_subscriber::EnvFilter;

/// That of musl is slow with messages and sessions, which come and go in many sizes.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Errors of ours are one line; `POSTROAD_LOG=debug` tells more.
#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("POSTROAD_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = console::colors_enabled_stderr();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour).init();
    match Cli::read().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("postroad: {error:#}");
            ExitCode::FAILURE
        }
    }
}
