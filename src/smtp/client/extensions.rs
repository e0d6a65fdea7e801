//! The peer's extensions, from its reply to EHLO. RFC 5321 §4.1.1.1.

use super::super::Reply;
use super::Limits;
use crate::auth::Mechanism;

/// The extensions of a peer that the client uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Whether the peer supports EHLO.
    pub esmtp: bool,
    /// `SIZE`: maximum message size, 0 for no limit. RFC 1870.
    pub size: Option<u64>,
    /// `PIPELINING`. RFC 2920.
    pub pipelining: bool,
    /// `8BITMIME`. RFC 6152.
    pub eight_bit_mime: bool,
    /// `SMTPUTF8`. RFC 6531.
    pub smtputf8: bool,
    /// `STARTTLS`. RFC 3207.
    pub starttls: bool,
    /// `DSN`. RFC 3461.
    pub dsn: bool,
    /// `CHUNKING`. RFC 3030.
    pub chunking: bool,
    /// `BINARYMIME`. RFC 3030 §3.
    pub binary_mime: bool,
    /// `REQUIRETLS`. RFC 8689.
    pub require_tls: bool,
    /// `ENHANCEDSTATUSCODES`. RFC 2034.
    pub enhanced_codes: bool,
    /// `LIMITS`. RFC 9422.
    pub limits: Limits,
    /// `AUTH`: the mechanisms, in capitals. RFC 4954.
    pub auth: Vec<String>,
}

impl Extensions {
    /// Parses the reply to EHLO or LHLO, without its first line, in any case. Unknown keywords are ignored, and a
    /// `SIZE` without a valid number is no limit.
    pub fn read(reply: &Reply) -> Self {
        let mut extensions = Self { esmtp: true, ..Self::default() };
        for line in reply.text.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let (keyword, parameters) = line.split_once([' ', '=']).unwrap_or((&line, ""));
            match keyword {
                "SIZE" => extensions.size = Some(parameters.trim().parse().unwrap_or(0)),
                "PIPELINING" => extensions.pipelining = true,
                "8BITMIME" => extensions.eight_bit_mime = true,
                "SMTPUTF8" => extensions.smtputf8 = true,
                "REQUIRETLS" => extensions.require_tls = true,
                "STARTTLS" => extensions.starttls = true,
                "DSN" => extensions.dsn = true,
                "CHUNKING" => extensions.chunking = true,
                "BINARYMIME" => extensions.binary_mime = true,
                "ENHANCEDSTATUSCODES" => extensions.enhanced_codes = true,
                "LIMITS" => extensions.limits = Limits::read(parameters),
                // Also "AUTH=", which servers sent before it was standardized.
                "AUTH" => extensions.auth.extend(parameters.split_ascii_whitespace().map(str::to_owned)),
                _ => {}
            }
        }
        extensions
    }

    /// The strongest login mechanism that both ends know, `None` without one; SCRAM only if `may_scram`.
    pub(super) fn mechanism(&self, may_scram: bool) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .filter(|mechanism| may_scram || *mechanism != Mechanism::ScramSha256)
            .find(|mechanism| self.auth.iter().any(|offered| offered == mechanism.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_in_any_case_and_order_are_read() {
        let text = "DSN greets you\nsize 1000\nAUTH login PLAIN\nAUTH=NTLM\nX-NEW thing\nPipelining\nSIZE x\n8bitmime\nLimits RcptMax=9";
        let extensions = Extensions::read(&Reply::plain(250, text));
        let wanted = Extensions {
            esmtp: true,
            size: Some(0),
            pipelining: true,
            eight_bit_mime: true,
            limits: Limits { recipients: Some(9), ..Limits::default() },
            auth: ["LOGIN", "PLAIN", "NTLM"].map(str::to_owned).into(),
            ..Extensions::default()
        };
        assert_eq!(extensions, wanted);
        assert_eq!(extensions.mechanism(true), Some(Mechanism::Plain));
    }
}
