//! TLS of SMTP in the place of Mailpit: the certificate that its options name.

use std::io::ErrorKind;

use anyhow::{Context, ensure};

use super::{HOST, StandIn, is_true};
use crate::host::{Certificate, Fault, RunningWorld};
use crate::net::Identity;
use crate::world::Service;

/// The variables of SMTP's certificate and its key.
pub(super) const CERTIFICATE: &str = "MP_SMTP_TLS_CERT";
pub(super) const CERTIFICATE_KEY: &str = "MP_SMTP_TLS_KEY";

/// TLS at the SMTP port.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    Absent,
    /// By STARTTLS.
    Offered,
    FromTheStart,
}

impl Encryption {
    /// The service of the SMTP port: `Smtps` if TLS is from the start, else `Smtp`.
    pub(super) fn service(self) -> Service {
        if self == Self::FromTheStart { Service::Smtps } else { Service::Smtp }
    }

    /// Returns the words for this encryption in Mailpit's line about its SMTP port, such as `STARTTLS optional`.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Absent => "no encryption",
            Self::Offered => "STARTTLS optional",
            Self::FromTheStart => "SSL/TLS required",
        }
    }
}

impl StandIn {
    /// How SMTP is encrypted: not without a certificate; else from the start if TLS is required, or by STARTTLS. An
    /// error if TLS is required without a certificate.
    pub(super) fn encryption(&self) -> anyhow::Result<Encryption> {
        let has_certificate = self.value(CERTIFICATE).is_some();
        let is_required = self.value("MP_SMTP_REQUIRE_TLS").is_some_and(is_true);
        ensure!(has_certificate || !is_required, "MP_SMTP_REQUIRE_TLS needs MP_SMTP_TLS_CERT");
        Ok(match (has_certificate, is_required) {
            (false, _) => Encryption::Absent,
            (true, false) => Encryption::Offered,
            (true, true) => Encryption::FromTheStart,
        })
    }

    /// Returns why the file of the certificate or of its key may not be read (permission denied), as in a container
    /// that does not run as root, as Mailpit's does. `None` if both can be read, or the reason is another one.
    pub(super) fn why_unreadable(&self) -> Option<String> {
        [CERTIFICATE, CERTIFICATE_KEY].into_iter().filter_map(|name| self.value(name)).find_map(|path| {
            let error = std::fs::File::open(path).err().filter(|error| error.kind() == ErrorKind::PermissionDenied)?;
            Some(format!("cannot read {path}: {error}"))
        })
    }

    /// The certificate of SMTP and its key, from their files, or issued by the authority of the world for names as in
    /// `sans:one.test,two.test`; `None` if the options name none.
    fn certificate(&self, running: &RunningWorld) -> anyhow::Result<Option<Identity>> {
        let Some(file) = self.value(CERTIFICATE) else { return Ok(None) };
        if let Some(names) = file.strip_prefix("sans:") {
            let names: Vec<_> = names.split(',').map(|name| name.trim().to_owned()).collect();
            return Ok(Some(running.env.authority.issue(&names).with_context(|| format!("MP_SMTP_TLS_CERT: {file}"))?));
        }
        let read = |path: &str| std::fs::read(path).with_context(|| format!("cannot read {path}"));
        let key = self.value(CERTIFICATE_KEY).context("MP_SMTP_TLS_CERT needs MP_SMTP_TLS_KEY")?;
        let identity = Identity::from_pem(&read(file)?, &read(key)?, running.env.clock);
        Ok(Some(identity.with_context(|| format!("{file}, {key}"))?))
    }

    /// Takes TLS from both hosts by a fault, since Mailpit does not offer it without a certificate; then, if the
    /// options name a certificate, lets the SMTP host present it. Must be called before the first client connects.
    ///
    /// # Errors
    /// The certificate that it shall present is invalid.
    pub(in crate::cli) async fn set_tls(&self, running: &RunningWorld) -> anyhow::Result<()> {
        let hosts = [HOST, "mailboxes"].map(str::to_owned);
        for host in hosts {
            running.inject(&Fault::Tls { host, certificate: Certificate::Absent }).await;
        }
        if let Some(identity) = self.certificate(running)? {
            running.present(HOST, identity);
        }
        Ok(())
    }
}
