//! The process of a command: its runtime, its log, its exit code.

use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::Cli;
use super::out::{Terminal, is_lost, report_error};

/// Starts the runtime and the log, runs the command of the command line and returns its exit code; it is all of the
/// program. An error is printed to standard error as one line, and the exit code is 1.
///
/// It is not async, so that the code of every command is generated in the library only, and not once more in the binary.
pub fn main() -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("postroad: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    start_log();
    let code = runtime.block_on(Cli::read().run()).unwrap_or_else(|error| {
        report_error(&error);
        ExitCode::FAILURE
    });
    if is_lost() {
        // What still runs on other threads, such as a simulation, ends with the process.
        runtime.shutdown_background();
    }
    code
}

/// A runtime with one thread less than cores, unless `TOKIO_WORKER_THREADS` is set: the store's thread and the kernel's
/// network and disk work need one, too.
fn runtime() -> std::io::Result<Runtime> {
    let mut runtime = Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores.saturating_sub(1).max(1));
    }
    runtime.enable_all().build()
}

/// Writes warnings to standard error, or what `POSTROAD_LOG` says: a level such as `debug`, or `target=level` pairs
/// separated by commas. An invalid value is ignored.
fn start_log() {
    let filter = std::env::var("POSTROAD_LOG").ok().and_then(|filter| filter.parse::<Targets>().ok());
    let filter = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Terminal).with_ansi(console::colors_enabled_stderr());
    tracing_subscriber::registry().with(filter).with(lines).init();
}
