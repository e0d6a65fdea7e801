//! The program under the name `mailpit`: takes Mailpit's options and `MP_*` variables, listens where Mailpit does, and says the
//! line that test containers wait for. It runs a world of one MTA that takes mail for any address.

mod tls;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::time::{Instant, sleep};

use self::tls::{CERTIFICATE, CERTIFICATE_KEY, Encryption};
use super::serve::Serve;
use crate::control::{Access, Client, Credentials};
use crate::host::RunningWorld;
use crate::net::Net;
use crate::world::{Service, World, span};

/// The host of the world.
const HOST: &str = "mailpit";
/// Mailpit's default for `--max`.
const MAX_MESSAGES: &str = "500";
/// How often `readyz --wait` asks.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Mailpit's default for `readyz --timeout`.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// What an option of Mailpit does here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// The same as there.
    Same,
    /// Nothing: it is so anyway, or is of no account here.
    Given,
    /// Nothing, and it is said.
    Absent,
}

use Effect::{Absent, Given, Same};

/// Mailpit's options: the flag, its short form, its variable, whether it has a value, and what it does here. Variables without
/// a flag have an empty one.
#[rustfmt::skip]
const OPTIONS: &[(&str, &str, &str, bool, Effect)] = &[
    ("smtp", "s", "MP_SMTP_BIND_ADDR", true, Same),
    ("listen", "l", "MP_UI_BIND_ADDR", true, Same),
    ("pop3", "", "MP_POP3_BIND_ADDR", true, Same),
    ("database", "d", "MP_DATABASE", true, Same),
    ("db-file", "", "MP_DATA_FILE", true, Same),
    ("max", "m", "MP_MAX_MESSAGES", true, Same),
    ("max-age", "", "MP_MAX_AGE", true, Same),
    ("max-message-size", "", "MP_MAX_MESSAGE_SIZE", true, Same),
    ("smtp-max-recipients", "", "MP_SMTP_MAX_RECIPIENTS", true, Same),
    ("smtp-auth-file", "", "MP_SMTP_AUTH_FILE", true, Same),
    ("", "", "MP_SMTP_AUTH", true, Same),
    ("smtp-auth-accept-any", "", "MP_SMTP_AUTH_ACCEPT_ANY", false, Same),
    ("ui-auth-file", "", "MP_UI_AUTH_FILE", true, Same),
    ("", "", "MP_UI_AUTH", true, Same),
    ("smtp-tls-cert", "", CERTIFICATE, true, Same),
    ("smtp-tls-key", "", CERTIFICATE_KEY, true, Same),
    ("smtp-require-tls", "", "MP_SMTP_REQUIRE_TLS", false, Same),
    ("smtp-auth-allow-insecure", "", "MP_SMTP_AUTH_ALLOW_INSECURE", false, Given),
    ("smtp-disable-rdns", "", "MP_SMTP_DISABLE_RDNS", false, Given),
    ("disable-version-check", "", "MP_DISABLE_VERSION_CHECK", false, Given),
    ("disable-wal", "", "MP_DISABLE_WAL", false, Given),
    ("compression", "", "MP_COMPRESSION", true, Given),
    ("disable-http-compression", "", "MP_DISABLE_HTTP_COMPRESSION", false, Given),
    ("disable-html-check", "", "MP_DISABLE_HTML_CHECK", false, Given),
    ("disable-link-check-rate-limit", "", "MP_DISABLE_LINK_CHECK_RATE_LIMIT", false, Given),
    ("block-remote-css-and-fonts", "", "MP_BLOCK_REMOTE_CSS_AND_FONTS", false, Given),
    ("allow-untrusted-tls", "", "MP_ALLOW_UNTRUSTED_TLS", false, Given),
    ("hide-delete-all-button", "", "MP_HIDE_DELETE_ALL_BUTTON", false, Given),
    ("enable-chaos", "", "MP_ENABLE_CHAOS", false, Given),
    ("verbose", "v", "MP_VERBOSE", false, Given),
    ("quiet", "q", "MP_QUIET", false, Given),
    ("label", "", "MP_LABEL", true, Absent),
    ("log-file", "", "MP_LOG_FILE", true, Absent),
    ("tenant-id", "", "MP_TENANT_ID", true, Absent),
    ("use-message-dates", "", "MP_USE_MESSAGE_DATES", false, Absent),
    ("ignore-duplicate-ids", "", "MP_IGNORE_DUPLICATE_IDS", false, Absent),
    ("webroot", "", "MP_WEBROOT", true, Absent),
    ("api-cors", "", "MP_API_CORS", true, Absent),
    ("ui-tls-cert", "", "MP_UI_TLS_CERT", true, Absent),
    ("ui-tls-key", "", "MP_UI_TLS_KEY", true, Absent),
    ("send-api-auth-file", "", "MP_SEND_API_AUTH_FILE", true, Absent),
    ("", "", "MP_SEND_API_AUTH", true, Absent),
    ("send-api-auth-accept-any", "", "MP_SEND_API_AUTH_ACCEPT_ANY", false, Absent),
    ("allow-internal-http-requests", "", "MP_ALLOW_INTERNAL_HTTP_REQUESTS", false, Absent),
    ("enable-spamassassin", "", "MP_ENABLE_SPAMASSASSIN", true, Absent),
    ("enable-prometheus", "", "MP_ENABLE_PROMETHEUS", true, Absent),
    ("smtp-require-starttls", "", "MP_SMTP_REQUIRE_STARTTLS", false, Absent),
    ("smtp-strict-rfc-headers", "", "MP_SMTP_STRICT_RFC_HEADERS", false, Absent),
    ("smtp-allowed-recipients", "", "MP_SMTP_ALLOWED_RECIPIENTS", true, Absent),
    ("smtp-ignore-rejected-recipients", "", "MP_SMTP_IGNORE_REJECTED_RECIPIENTS", false, Absent),
    ("smtp-relay-config", "", "MP_SMTP_RELAY_CONFIG", true, Absent),
    ("smtp-relay-all", "", "MP_SMTP_RELAY_ALL", false, Absent),
    ("smtp-relay-matching", "", "MP_SMTP_RELAY_MATCHING", true, Absent),
    ("smtp-forward-config", "", "MP_SMTP_FORWARD_CONFIG", true, Absent),
    ("chaos-triggers", "", "MP_CHAOS_TRIGGERS", true, Absent),
    ("pop3-auth-file", "", "MP_POP3_AUTH_FILE", true, Absent),
    ("", "", "MP_POP3_AUTH", true, Absent),
    ("pop3-tls-cert", "", "MP_POP3_TLS_CERT", true, Absent),
    ("pop3-tls-key", "", "MP_POP3_TLS_KEY", true, Absent),
    ("tag", "t", "MP_TAG", true, Absent),
    ("tags-config", "", "MP_TAGS_CONFIG", true, Absent),
    ("tags-title-case", "", "MP_TAGS_TITLE_CASE", false, Absent),
    ("tags-disable", "", "MP_TAGS_DISABLE", true, Absent),
    ("tags-username", "", "MP_TAGS_USERNAME", false, Absent),
    ("webhook-url", "", "MP_WEBHOOK_URL", true, Absent),
    ("webhook-limit", "", "MP_WEBHOOK_LIMIT", true, Absent),
    ("webhook-delay", "", "MP_WEBHOOK_DELAY", true, Absent),
];

/// What was asked for under that name.
#[derive(Debug)]
pub(super) struct StandIn {
    action: Action,
    /// Values by variable.
    values: Vec<(String, String)>,
    /// Flags and variables that do nothing here.
    absent: Vec<String>,
    smtp: SocketAddr,
    http: SocketAddr,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Serve,
    Version,
    Readyz { wait: bool, timeout: Duration },
}

/// Whether a value is true, as Mailpit reads it: `1`, `true` or `yes`, in upper or lower case.
fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes")
}

/// Parses the address of a listener as in `[::]:1025`, `0.0.0.0:1025`, `localhost:1025` (127.0.0.1) or `:1025`
/// (0.0.0.0). The unspecified IPv6 address becomes 0.0.0.0, too: a container may have no IPv6.
fn endpoint(text: &str) -> anyhow::Result<SocketAddr> {
    let text = text.trim();
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.replace("localhost", "127.0.0.1") };
    let mut address: SocketAddr = whole.parse().with_context(|| format!("{text} is no IP:PORT"))?;
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    Ok(address)
}

impl StandIn {
    /// Reads arguments, without the name of the program, and those variables of the environment that begin with `MP_`
    /// and are not empty. An argument precedes its variable.
    ///
    /// # Errors
    /// An option that Mailpit does not have, or an invalid value.
    pub(super) fn read(
        arguments: impl IntoIterator<Item = OsString>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> anyhow::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let mut all = Self { action: Action::Serve, values: Vec::new(), absent: Vec::new(), smtp: any, http: any };
        let text = |value: OsString| value.to_string_lossy().into_owned();
        let mut variables: Vec<_> = variables.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        variables.sort();
        for (name, value) in variables.into_iter().filter(|(name, value)| name.starts_with("MP_") && !value.is_empty())
        {
            let effect = OPTIONS.iter().find(|option| option.2 == name).map_or(Absent, |option| option.4);
            all.add(effect, &name, &name, value);
        }
        all.arguments(&mut arguments.into_iter().map(text))?;
        all.smtp = endpoint(all.value("MP_SMTP_BIND_ADDR").unwrap_or(":1025"))?;
        all.http = endpoint(all.value("MP_UI_BIND_ADDR").unwrap_or(":8025"))?;
        Ok(all)
    }

    /// Reads the arguments into `self`: the command `version` or `readyz`, if any, with its options, and the options of
    /// the server. Anything else, and an option without its value, is an error.
    fn arguments(&mut self, arguments: &mut dyn Iterator<Item = String>) -> anyhow::Result<()> {
        let (mut wait, mut timeout) = (false, READY_TIMEOUT);
        while let Some(argument) = arguments.next() {
            let (flag, given) = match argument.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (argument.clone(), None),
            };
            let is_ready = matches!(self.action, Action::Readyz { .. });
            match flag.as_str() {
                "version" => self.action = Action::Version,
                "readyz" => self.action = Action::Readyz { wait, timeout },
                "--wait" if is_ready => wait = given.as_deref().is_none_or(is_true),
                "--timeout" if is_ready => {
                    let value = given.or_else(|| arguments.next()).context("--timeout needs a value")?;
                    timeout = span::parse(&value).map_err(anyhow::Error::msg)?;
                }
                _ => {
                    let name = flag.strip_prefix("--").or_else(|| flag.strip_prefix('-')).unwrap_or_default();
                    let is_it = |option: &&(&str, &str, &str, bool, Effect)| {
                        !name.is_empty() && [option.0, option.1].contains(&name)
                    };
                    let Some((_, _, variable, has_value, effect)) = OPTIONS.iter().find(is_it) else {
                        bail!(
                            "mailpit has no option or command {flag}; `postroad --help` lists what this program can do"
                        );
                    };
                    let value = match (given, has_value) {
                        (Some(value), _) => value,
                        (None, true) => arguments.next().with_context(|| format!("{flag} needs a value"))?,
                        (None, false) => "true".to_owned(),
                    };
                    self.add(*effect, variable, &flag, value);
                }
            }
        }
        if let Action::Readyz { .. } = self.action {
            self.action = Action::Readyz { wait, timeout };
        }
        Ok(())
    }

    /// Takes an option. If its effect is `Same`, notes the value of its variable; if it is `Given`, does nothing. If it
    /// is `Absent`, notes `name`, the flag or variable as the user wrote it, as not supported, unless the value asks
    /// for what is so anyway: off, metrics at their place, or the root `/`.
    fn add(&mut self, effect: Effect, variable: &str, name: &str, value: String) {
        match effect {
            Same => self.values.push((variable.to_owned(), value)),
            Given => {}
            // It is off there, too.
            Absent if matches!(value.to_ascii_lowercase().as_str(), "false" | "0" | "no") => {}
            // Also there, the metrics are at /metrics.
            Absent if variable == "MP_ENABLE_PROMETHEUS" && is_true(&value) => {}
            Absent if variable == "MP_WEBROOT" && value == "/" => {}
            Absent => self.absent.push(name.to_owned()),
        }
    }

    /// The last value of a variable, which is that of its flag if both were given; `None` without either.
    fn value(&self, variable: &str) -> Option<&str> {
        self.values.iter().rev().find(|(name, _)| name == variable).map(|(_, value)| value.as_str())
    }

    /// The users, as `user:password`: those in the value of `variable`, separated by spaces, then those in the file
    /// that the value of `file` names, one a line. Empty without both; a hashed password is an error.
    fn users(&self, variable: &str, file: &str) -> anyhow::Result<Vec<String>> {
        let mut users: Vec<String> =
            self.value(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        if let Some(path) = self.value(file) {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
            users.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
        }
        let hashed =
            users.iter().any(|user| user.contains(":$2") || user.contains(":{SHA}") || user.contains(":$apr1$"));
        ensure!(!hashed, "{variable}, {file}: passwords must be plain text, as in `user:password`");
        Ok(users)
    }

    /// The world of the options: one MTA that takes mail for any address, one MDA and a name server, with the ports,
    /// limits and logins that the options set. Invalid values are errors.
    fn world(&self) -> anyhow::Result<World> {
        let number = |variable: &str, default: &str| -> anyhow::Result<u64> {
            let value = self.value(variable).unwrap_or(default);
            value.parse().with_context(|| format!("{variable}: {value} is no number"))
        };
        let mut keep = Vec::new();
        match number("MP_MAX_MESSAGES", MAX_MESSAGES)? {
            0 => {}
            max => keep.push(format!("messages = {max}")),
        }
        if let Some(age) = self.value("MP_MAX_AGE") {
            keep.push(format!("age = {}", quoted(age)));
        }
        let mut mta = format!("recipients_max = {}\n", number("MP_SMTP_MAX_RECIPIENTS", "100")?);
        if let Some(bytes) = number("MP_MAX_MESSAGE_SIZE", "50")?.checked_mul(1 << 20).filter(|bytes| *bytes != 0) {
            let _ = writeln!(mta, "size_max = {bytes}");
        }
        let users = self.users("MP_SMTP_AUTH", "MP_SMTP_AUTH_FILE")?;
        if self.value("MP_SMTP_AUTH_ACCEPT_ANY").is_some_and(is_true) {
            mta.push_str("logins = \"any\"\n");
        } else if !users.is_empty() {
            let named: Vec<_> = users.iter().filter_map(|user| user.split_once(':')).collect();
            ensure!(
                named.len() == users.len(),
                "MP_SMTP_AUTH: write `user:password`, several with spaces between them"
            );
            let named: Vec<_> =
                named.iter().map(|(user, password)| format!("{} = {}", quoted(user), quoted(password))).collect();
            let _ = writeln!(mta, "logins = {{ {} }}", named.join(", "));
        }
        let pop3 = self.value("MP_POP3_BIND_ADDR").map(endpoint).transpose()?;
        let same = [Some(self.smtp), Some(self.http), pop3].into_iter().flatten().all(|at| at.ip() == self.smtp.ip());
        ensure!(same, "all services must listen at one IP address here");
        let pop3 = pop3.map(|at| format!("pop3 = {}\n", at.port())).unwrap_or_default();
        let encryption = self.encryption()?;
        if encryption == Encryption::Offered {
            mta.push_str("starttls = true\n");
        }
        let text = format!(
            "[world]\nname = \"{HOST}\"\npassword = \"postroad\"\nentry = \"{HOST}\"\nkeep = {{ {} }}\n\
             [elsewhere]\nmx = \"{HOST}\"\nmailboxes = \"mailboxes\"\n\
             [ports]\n{} = {}\nhttp = {}\n{pop3}\
             [dns.dns]\nname = \"ns.postroad.test\"\naddress = \"192.0.2.53\"\n\
             [mta.{HOST}]\nname = \"{HOST}\"\naddress = \"192.0.2.25\"\nbare_line_ends = \"normalize\"\n{mta}\
             [mda.mailboxes]\nname = \"mailboxes.postroad.test\"\naddress = \"192.0.2.26\"\n",
            keep.join(", "),
            encryption.service(),
            self.smtp.port(),
            self.http.port(),
        );
        Ok(World::parse("the options of mailpit", &text)?)
    }

    /// Prints the version, waits for or checks that a running server is ready, or runs the server until it is stopped;
    /// returns the exit code.
    ///
    /// # Errors
    /// A value is invalid, the running server is not ready (in time, if to wait), or the server does not start.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Version => {
                println!("mailpit v1.30.5 (Postroad {})", env!("CARGO_PKG_VERSION"));
                Ok(ExitCode::SUCCESS)
            }
            Action::Readyz { wait, timeout } => self.readyz(wait, timeout).await,
            Action::Serve => self.serve().await,
        }
    }

    /// Runs the world until it is stopped; prints to standard error the options that are ignored. Its data is beside
    /// the database of Mailpit, in a folder of that name with `.postroad`; without one, in a temporary folder. If the
    /// certificate for STARTTLS may not be read, says so and does without.
    async fn serve(mut self) -> anyhow::Result<ExitCode> {
        if let (Encryption::Offered, Some(why)) = (self.encryption()?, self.why_unreadable()) {
            eprintln!("mailpit: {why}; STARTTLS is not offered");
            self.values.retain(|(name, _)| name != CERTIFICATE);
        }
        if !self.absent.is_empty() {
            eprintln!("mailpit: not supported by Postroad and ignored: {}", self.absent.join(", "));
        }
        let world = Arc::new(self.world()?);
        let credentials = self.users("MP_UI_AUTH", "MP_UI_AUTH_FILE")?;
        let credentials: Result<Vec<_>, _> = credentials.iter().map(|user| Credentials::user(user)).collect();
        let access = Access::new(&credentials.map_err(anyhow::Error::msg).context("MP_UI_AUTH is invalid")?);
        let passing = tempfile::Builder::new().prefix("postroad-").tempdir()?;
        let file = self.value("MP_DATABASE").or(self.value("MP_DATA_FILE"));
        // Theirs is a file of another form, which stays as it is.
        let data = file.map_or_else(|| passing.path().to_owned(), |file| PathBuf::from(format!("{file}.postroad")));
        Serve::of(self.smtp.ip(), data).run_world(world, access, None, Some(&self)).await
    }

    /// Prints the lines with which Mailpit says that it is up, for the SMTP and HTTP ports that are bound:
    /// testcontainers and Quarkus wait for `accessible via`.
    pub(super) fn announce(&self, running: &RunningWorld) {
        let bound = |service| running.bound_ports().get(&service).copied();
        if let Ok(encryption) = self.encryption()
            && let Some(smtp) = bound(encryption.service())
        {
            println!("level=info msg=\"[smtpd] starting on {smtp} ({})\"", encryption.title());
        }
        if let Some(http) = bound(Service::Http) {
            println!("level=info msg=\"[http] starting on {http}\"");
            println!("level=info msg=\"[http] accessible via http://localhost:{}/\"", http.port());
        }
    }

    /// Requests `/readyz` of a running server at the HTTP address of the options: once, or with `wait` until it is
    /// ready, but not longer than `timeout`. Returns the exit code 0 if it is ready, else the last error.
    async fn readyz(&self, wait: bool, timeout: Duration) -> anyhow::Result<ExitCode> {
        let ip = if self.http.ip().is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { self.http.ip() };
        let client = Client::new(Net::sockets().interface(&[]), &ip.to_string(), self.http.port(), None);
        let end = Instant::now() + timeout;
        loop {
            match client.bytes("/readyz").await {
                Ok(_) => return Ok(ExitCode::SUCCESS),
                Err(error) if !wait || end <= Instant::now() => return Err(error.into()),
                Err(_) => sleep(POLL_INTERVAL).await,
            }
        }
    }
}

/// What the variables `MP_SENDMAIL_SMTP_ADDR` and `MP_SENDMAIL_FROM` say about `mailpit sendmail`, as options with
/// their values, to go before those of the command line, which override them. Empty if neither is set.
pub(super) fn sendmail_defaults() -> Vec<OsString> {
    let variables = [("MP_SENDMAIL_SMTP_ADDR", "--server"), ("MP_SENDMAIL_FROM", "-f")];
    let given = variables.into_iter().filter_map(|(name, option)| Some([option.into(), std::env::var_os(name)?]));
    given.flatten().collect()
}

/// Returns the text as a string in TOML, with quotation marks around it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Logins, Role};

    fn read(arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<StandIn> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        StandIn::read(arguments.iter().map(OsString::from), variables)
    }

    fn logins(stand_in: &StandIn) -> Logins {
        let world = stand_in.world().unwrap();
        match &world.hosts[HOST].role {
            Role::Mta(settings) => settings.policy.logins.clone(),
            _ => panic!("{HOST} is an MTA"),
        }
    }

    fn kept(stand_in: &StandIn) -> Option<u64> {
        stand_in.world().unwrap().keep.messages.map(u64::from)
    }

    #[test]
    fn mailpit_options_and_variables_have_their_effect_or_are_named() {
        let plain = read(&[], &[("HOME", "/root")]).unwrap();
        assert_eq!((plain.smtp.to_string(), plain.http.port()), ("0.0.0.0:1025".to_owned(), 8025));
        assert_eq!((logins(&plain), plain.absent.len()), (Logins::Users, 0));
        assert_eq!(kept(&plain), Some(500));

        let set = [
            ("MP_SMTP_BIND_ADDR", "[::]:2525"),
            ("MP_MAX_MESSAGES", "7"),
            ("MP_SMTP_AUTH", "a:b c:d\"e"),
            ("MP_NEW", "1"),
        ];
        let all =
            read(&["--listen", "127.0.0.1:80", "-s", ":26", "--max-age=36h", "--smtp-relay-all", "--verbose"], &set);
        let all = all.unwrap();
        assert_eq!((all.smtp.to_string(), all.http.to_string()), ("0.0.0.0:26".to_owned(), "127.0.0.1:80".to_owned()));
        assert_eq!(all.absent, ["MP_NEW", "--smtp-relay-all"]);
        assert!(all.world().unwrap_err().to_string().contains("one IP address"));
        let named = [("a", "b"), ("c", "d\"e")].map(|(user, password)| (user.to_owned(), password.to_owned()));
        let all = read(&[], &set).unwrap();
        assert_eq!((logins(&all), kept(&all)), (Logins::Named(named.into()), Some(7)));

        assert_eq!(logins(&read(&["--smtp-auth-accept-any"], &[]).unwrap()), Logins::Any);
        assert!(read(&["--no-such-option"], &[]).is_err() && read(&["--smtp"], &[]).is_err());
        let hashed = read(&[], &[("MP_SMTP_AUTH", "a:$2a$10$x")]).unwrap();
        assert!(hashed.world().is_err());

        let certificate = [("MP_SMTP_TLS_CERT", "/cert.pem"), ("MP_SMTP_TLS_KEY", "/key.pem")];
        let ports = |stand_in: StandIn| stand_in.world().unwrap().ports.into_keys().collect::<Vec<_>>();
        let offered = read(&[], &certificate).unwrap();
        assert!(matches!(&offered.world().unwrap().hosts[HOST].role, Role::Mta(settings) if settings.starttls));
        assert_eq!((offered.absent.len(), ports(offered)), (0, vec![Service::Smtp, Service::Http]));
        let required = read(&["--smtp-require-tls"], &certificate).unwrap();
        assert_eq!(ports(required), [Service::Smtps, Service::Http]);
        assert!(read(&["--smtp-require-tls"], &[]).unwrap().world().is_err());
        let ready = read(&["readyz", "--wait", "--timeout", "3s"], &[]).unwrap();
        assert_eq!(ready.action, Action::Readyz { wait: true, timeout: Duration::from_secs(3) });
    }
}
