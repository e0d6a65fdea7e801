//! Options for who may use the HTTP interface, and for what proves that a client may.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::control::{Access, Credentials};
use crate::world::{Service, World};

/// Credentials of the HTTP interface: of those who may use it, where it is served; of this client, where it is used.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct HttpCredentials {
    /// A user of the HTTP interface and the password.
    #[arg(long, value_name = "USER:PASSWORD", env = "POSTROAD_HTTP_USER", hide_env_values = true, global = true)]
    http_user: Option<String>,
    /// The same from a file, which may have a user on each line.
    #[arg(long, value_name = "FILE", env = "POSTROAD_HTTP_USER_FILE", global = true)]
    http_user_file: Option<PathBuf>,
    /// The token of the HTTP interface.
    #[arg(long, value_name = "TOKEN", env = "POSTROAD_HTTP_TOKEN", hide_env_values = true, global = true)]
    http_token: Option<String>,
    /// The same from a file, which may have a token on each line.
    #[arg(long, value_name = "FILE", env = "POSTROAD_HTTP_TOKEN_FILE", global = true)]
    http_token_file: Option<PathBuf>,
}

impl HttpCredentials {
    /// Returns the credentials of all four options, tokens before users and a value before the lines of a file; empty
    /// if none was given. A value that is invalid, or a file that cannot be read or has no lines, is an error.
    fn all(&self) -> anyhow::Result<Vec<Credentials>> {
        let mut all = Vec::new();
        for token in values(self.http_token.as_ref(), self.http_token_file.as_deref())? {
            all.push(Credentials::token(&token).map_err(anyhow::Error::msg).context("the HTTP token is invalid")?);
        }
        for user in values(self.http_user.as_ref(), self.http_user_file.as_deref())? {
            all.push(Credentials::user(&user).map_err(anyhow::Error::msg).context("the HTTP user is invalid")?);
        }
        Ok(all)
    }

    /// The credentials that a client sends: the first token, or else the first user; `None` if there is neither.
    ///
    /// # Errors
    /// A file cannot be read, or a value is invalid.
    pub(super) fn of_client(&self) -> anyhow::Result<Option<Credentials>> {
        Ok(self.all()?.into_iter().next())
    }
}

/// Returns the value of an option, if any, then the lines of the file of another one, if any, trimmed and without empty
/// ones. A file that cannot be read, or has empty lines only, is an error.
fn values(value: Option<&String>, file: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut all: Vec<_> = value.cloned().into_iter().collect();
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let before = all.len();
        all.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        ensure!(before < all.len(), "{} is empty", file.display());
    }
    Ok(all)
}

/// Who may use the HTTP interface that is served.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct HttpAccess {
    #[command(flatten)]
    pub(super) credentials: HttpCredentials,
    /// Lets everybody use the HTTP interface at an address that other machines reach. Without it, such an address needs a
    /// token or a user.
    #[arg(long, env = "POSTROAD_INSECURE_HTTP")]
    insecure_http: bool,
}

impl HttpAccess {
    /// Who may use the interface of a world whose public ports are at this address: those with one of the credentials
    /// of the options, or everybody if there are none.
    ///
    /// # Errors
    /// A value is invalid, or everybody could use it from other machines.
    pub(super) fn of(&self, world: &World, ip: IpAddr) -> anyhow::Result<Access> {
        let access = Access::new(&self.credentials.all()?);
        let is_reachable = world.ports.contains_key(&Service::Http) && !ip.to_canonical().is_loopback();
        ensure!(
            !is_reachable || !access.is_open() || self.insecure_http,
            "other machines could read and change all mail over HTTP at {ip}; give --http-token or --http-user, or \
             --insecure-http in a network that you trust"
        );
        Ok(access)
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn access(ip: &str, arguments: &[&str]) -> anyhow::Result<Access> {
        let command = HttpAccess::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).unwrap();
        HttpAccess::from_arg_matches(&matches).unwrap().of(&World::journey(), ip.parse().unwrap())
    }

    #[test]
    fn access_at_other_addresses_than_loopback_needs_credentials() {
        for ip in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(access(ip, &[]).unwrap().is_open(), "{ip}");
        }
        for ip in ["0.0.0.0", "::", "192.168.1.20", "::ffff:10.0.0.1"] {
            let refusal = access(ip, &[]).unwrap_err().to_string();
            assert!(refusal.contains("--http-token") && refusal.lines().count() == 1, "{refusal}");
            assert!(access(ip, &["--insecure-http"]).unwrap().is_open(), "{ip}");
            for with in ["--http-token=t", "--http-user=a:b"] {
                assert!(
                    !access(ip, &[with]).unwrap().is_open()
                        && !access(ip, &[with, "--insecure-http"]).unwrap().is_open()
                );
            }
        }
    }

    #[test]
    fn credentials_are_read_from_files_and_checked() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let from_file = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            access("::", &["--http-token-file", file.path().to_str().unwrap()])
        };
        assert!(!from_file("one\n\n two \n").unwrap().is_open());
        for text in ["", "\n", "no token\n"] {
            assert!(from_file(text).is_err(), "{text:?}");
        }
        for with in ["--http-token=", "--http-user=ann", "--http-token-file=/nowhere/at/all"] {
            assert!(access("::", &[with, "--insecure-http"]).is_err(), "{with}");
        }
    }
}
