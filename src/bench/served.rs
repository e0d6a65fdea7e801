//! Our own server to be measured: `postroad serve` of this same program, as its users start it, on a folder of its own.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

use super::{Error, Processes};

/// One MTA that accepts for a host which is away: what is measured with it is accepting, and nothing else.
pub const FRONT: &str = include_str!("front.toml");

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);

/// A served world, killed when it is dropped.
pub struct Served {
    child: Child,
    ports: BTreeMap<String, SocketAddr>,
}

impl Served {
    /// Serves a world, or the default one, with data and free ports in `folder`.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start(folder: &Path, world: Option<&str>) -> Result<Self, Error> {
        let fail = |error: std::io::Error| Error::Served(error.to_string());
        fs::create_dir_all(folder).map_err(fail)?;
        let mut command = Command::new(std::env::current_exe().map_err(fail)?);
        // Nothing of the caller's surroundings changes what is measured.
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
        let options: [&OsStr; 5] = [
            "--free-ports".as_ref(),
            "--data".as_ref(),
            folder.as_os_str(),
            "--ports-file".as_ref(),
            ports.as_os_str(),
        ];
        let child = command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(fail)?;
        let mut served = Self { child, ports: BTreeMap::new() };
        served.ports = served.wait(&ports).await?;
        Ok(served)
    }

    async fn wait(&mut self, ports: &Path) -> Result<BTreeMap<String, SocketAddr>, Error> {
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if let Ok(text) = fs::read_to_string(ports) {
                return serde_json::from_str(&text).map_err(|error| Error::Served(error.to_string()));
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Served(format!("it ended: {status}")));
            }
            sleep(PAUSE).await;
        }
        Err(Error::Served(format!("it did not listen within {PATIENCE:?}")))
    }

    /// Where a service listens.
    ///
    /// # Errors
    /// Its world has no such port.
    pub fn port(&self, service: &str) -> Result<SocketAddr, Error> {
        self.ports.get(service).copied().ok_or_else(|| Error::Served(format!("it has no {service} port")))
    }

    /// Its process.
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
