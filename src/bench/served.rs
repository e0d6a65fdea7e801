//! Runs our own server for a measurement: `postroad serve` as a child process, with its own data folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

use super::{Error, Processes};

/// A world with one MTA, which accepts mail for a host that is off: for measuring acceptance only.
pub const FRONT: &str = include_str!("front.toml");

/// Time limit for the start.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which the ports file is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A serving process, which is killed when this is dropped.
pub struct Served {
    child: Child,
    ports: BTreeMap<String, SocketAddr>,
}

impl Served {
    /// Starts `postroad serve` with the text of a world file, or with the default world, on free ports with data in
    /// `folder`, and with `more` arguments; returns once it listens.
    ///
    /// # Errors
    /// The process does not start.
    pub async fn start(folder: &Path, world: Option<&str>, more: &[String]) -> Result<Self, Error> {
        let fail = |error: std::io::Error| Error::Served(error.to_string());
        fs::create_dir_all(folder).map_err(fail)?;
        let mut command = Command::new(std::env::current_exe().map_err(fail)?);
        // Settings of the caller must not influence the measurement.
        let ours = std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"POSTROAD_"));
        ours.for_each(|(name, _)| {
            command.env_remove(name);
        });
        command.arg("serve");
        if let Some(world) = world {
            let file = folder.join("world.toml");
            fs::write(&file, world).map_err(fail)?;
            command.arg(file);
        }
        let ports = folder.join("ports.json");
        let options: [&OsStr; 6] = [
            "--quiet".as_ref(),
            "--free-ports".as_ref(),
            "--data".as_ref(),
            folder.as_os_str(),
            "--ports-file".as_ref(),
            ports.as_os_str(),
        ];
        let child =
            command.args(options).args(more).stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(fail)?;
        let mut served = Self { child, ports: BTreeMap::new() };
        served.ports = served.wait(&ports).await?;
        Ok(served)
    }

    /// Waits until the process has written the file `ports`, and returns the ports in it, by service. An error if the
    /// process ends before, or does not write it within [`START_TIMEOUT`].
    async fn wait(&mut self, ports: &Path) -> Result<BTreeMap<String, SocketAddr>, Error> {
        for _ in 0..START_TIMEOUT.as_millis() / POLL_INTERVAL.as_millis() {
            if let Ok(text) = fs::read_to_string(ports) {
                return serde_json::from_str(&text).map_err(|error| Error::Served(error.to_string()));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Served(format!("it ended: {status}")));
            }
            sleep(POLL_INTERVAL).await;
        }
        Err(Error::Served(format!("it did not listen within {START_TIMEOUT:?}")))
    }

    /// Where a service listens, by its name in the ports file, such as `smtp`.
    ///
    /// # Errors
    /// The world does not have this service.
    pub fn port(&self, service: &str) -> Result<SocketAddr, Error> {
        self.ports.get(service).copied().ok_or_else(|| Error::Served(format!("it has no {service} port")))
    }

    /// The process of the server, for measuring its CPU time and memory and those of its descendants.
    pub fn processes(&self) -> Processes {
        Processes::new(vec![self.child.id()])
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
