//! The program: see `postroad --help`.

use std::process::ExitCode;

/// mimalloc: the system allocator takes about a fifth of the CPU time under load.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
<<<<<<< HEAD
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("postroad: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    if postroad::cli::is_lost() {
        // What still runs on other threads, such as a simulation, ends with the process.
        runtime.shutdown_background();
    }
    code
}

/// A runtime with one thread less than cores: the store's thread and the kernel's network and disk work need one, too.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if std::env::var_os("TOKIO_WORKER_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        runtime.worker_threads(cores.saturating_sub(1).max(1));
    }
    runtime.enable_all().build()
}

/// Runs the command. An error is printed as one line; `POSTROAD_LOG=debug` logs details.
async fn run() -> ExitCode {
    let filter = EnvFilter::try_from_env("POSTROAD_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colour = console::colors_enabled_stderr();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| postroad::cli::Terminal).with_ansi(colour).init();
    match Cli::read().run().await {
        Ok(code) => code,
        Err(error) => {
            postroad::cli::report(&error);
            ExitCode::FAILURE
        }
    }
=======
    postroad::cli::main()
>>>>>>> build
}
