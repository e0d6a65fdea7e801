//! How commands find a running world: by the file of its ports, or by the offset of its ports.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::common::Endpoint;
use super::http_access::HttpCredentials;
use crate::control::{Client, ClientError};
use crate::mua;
use crate::net::{self, Net};
use crate::world::{Service, World};

/// Options that find a running world on this machine.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct FindWorld {
    /// Finds the world by the file that `postroad serve --ports-file` writes.
    #[arg(long, value_name = "FILE", env = "POSTROAD_PORTS_FILE", global = true)]
    ports_file: Option<PathBuf>,
    /// Finds the world by the --port-offset of `postroad serve`, if there is no ports file.
    #[arg(long, value_name = "N", env = "POSTROAD_PORT_OFFSET", default_value_t = 0, global = true)]
    port_offset: u16,
}

impl FindWorld {
    /// Returns where a service of the world listens: `given`, the address that the user gave for the service, if any;
    /// else the address in the ports file; else 127.0.0.1 with the port of the built-in world plus the offset.
    ///
    /// # Errors
    /// The ports file cannot be read, or the world does not have the service.
    pub(super) fn at(&self, given: Option<&Endpoint>, service: Service) -> anyhow::Result<Endpoint> {
        match (given, &self.ports_file) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(file)) => listed_address(file, service),
            (None, None) => {
                let port = World::journey().ports.get(&service).copied().unwrap_or_default();
                let moved = port.checked_add(self.port_offset);
                let port =
                    moved.with_context(|| format!("--port-offset {} leaves no {service} port", self.port_offset))?;
                Ok(Endpoint { host: Ipv4Addr::LOCALHOST.to_string(), port })
            }
        }
    }

    /// Whether the user says which world it is, by a ports file or by a port offset other than 0.
    fn is_given(&self) -> bool {
        self.ports_file.is_some() || self.port_offset != 0
    }
}

/// Returns the address of a service in a ports file, with the loopback address in the place of an unspecified one, at
/// which a world listens at all addresses. An error if the file is missing or unreadable, or has no valid address of
/// the service.
fn listed_address(file: &Path, service: Service) -> anyhow::Result<Endpoint> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("no {}, which is there while `postroad serve --ports-file` runs; is it running?", file.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let address = ports[service.to_string()].as_str().and_then(|address| address.parse::<SocketAddr>().ok());
    let address = address.with_context(|| {
        format!("{} has no valid `{service}` address; does `[ports]` of the world file have it?", file.display())
    })?;
    // A world that listens at all addresses of the machine.
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    Ok(Endpoint { host, port: address.port() })
}

/// Options for the address of the control interface.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ControlArgs {
    /// The address of the world's control interface. Default: 127.0.0.1:8025.
    #[arg(long, value_name = "HOST:PORT", env = "POSTROAD_CONTROL", global = true)]
    control: Option<Endpoint>,
    #[command(flatten)]
    find: FindWorld,
    #[command(flatten)]
    credentials: HttpCredentials,
}

impl ControlArgs {
    /// A client for the control interface.
    ///
    /// # Errors
    /// As for [`FindWorld::at`], or a file has no valid credentials.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        let Endpoint { host, port } = self.find.at(self.control.as_ref(), Service::Http)?;
        Ok(Client::new(Net::sockets().interface(&[]), &host, port, self.credentials.of_client()?))
    }

    /// Whether the user says which world it is, by an address, a ports file or a port offset.
    pub(super) fn is_given(&self) -> bool {
        self.control.is_some() || self.find.is_given()
    }
}

/// Returns an error with the question whether `postroad serve` runs added to its text, if it is that a loopback address
/// refused the connection; any other error unchanged.
pub(super) fn ask_if_running(error: anyhow::Error) -> anyhow::Error {
    if nothing_listens(&error) { anyhow!("{error:#}; is `postroad serve` running?") } else { error }
}

/// Whether the error is that a connection to a loopback address was refused.
fn nothing_listens(error: &anyhow::Error) -> bool {
    let refused = match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref::<net::Error>()) {
        (Some(ClientError::Unreachable { why, .. }), _, _) | (_, Some(mua::Error::Net { why, .. }), _) => Some(why),
        (_, _, why) => why,
    };
    matches!(refused, Some(net::Error::Refused(address)) if address.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn world_is_found_by_what_is_given_then_by_its_file_then_by_its_offset() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ports.json");
        std::fs::write(&file, r#"{"smtp":"0.0.0.0:7","imap":"[::]:8","http":"192.0.2.1:9"}"#).unwrap();
        let at = |find: &FindWorld, service| find.at(None, service).unwrap();
        let offset = FindWorld { ports_file: None, port_offset: 100 };
        let listed = FindWorld { ports_file: Some(file), ..offset.clone() };
        for (find, service, expected) in [
            (&offset, Service::Smtp, "127.0.0.1:1125"),
            (&listed, Service::Smtp, "127.0.0.1:7"),
            (&listed, Service::Imap, "[::1]:8"),
            (&listed, Service::Http, "192.0.2.1:9"),
        ] {
            assert_eq!(at(find, service), expected.parse().unwrap());
        }
        let given: Endpoint = "mx.test:25".parse().unwrap();
        assert_eq!(listed.at(Some(&given), Service::Smtp).unwrap(), given);
        let missing = listed.at(None, Service::Pop3).unwrap_err().to_string();
        assert!(
            missing.ends_with("has no valid `pop3` address; does `[ports]` of the world file have it?"),
            "{missing}"
        );
        let too_high = FindWorld { ports_file: None, port_offset: u16::MAX };
        assert!(too_high.at(None, Service::Smtp).is_err());
    }
}
