//! What the peer offers: its answer to EHLO. RFC 5321 §4.1.1.1.

use super::super::Reply;
use super::Limits;
use crate::auth::Mechanism;

/// The extensions of a peer that matter to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// It understands EHLO at all.
    pub esmtp: bool,
    /// `SIZE`: the largest message in octets, 0 where there is no limit. RFC 1870.
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

impl Offers {
    /// Reads the answer to EHLO or LHLO; its first line only greets. What is unknown is passed over.
    pub fn read(reply: &Reply) -> Self {
        let mut offers = Self { esmtp: true, ..Self::default() };
        for line in reply.text.iter().skip(1) {
            let line = line.to_ascii_uppercase();
            let (keyword, parameters) = line.split_once([' ', '=']).unwrap_or((&line, ""));
            match keyword {
                "SIZE" => offers.size = Some(parameters.trim().parse().unwrap_or(0)),
                "PIPELINING" => offers.pipelining = true,
                "8BITMIME" => offers.eight_bit_mime = true,
                "SMTPUTF8" => offers.smtputf8 = true,
                "REQUIRETLS" => offers.require_tls = true,
                "STARTTLS" => offers.starttls = true,
                "DSN" => offers.dsn = true,
                "CHUNKING" => offers.chunking = true,
                "BINARYMIME" => offers.binary_mime = true,
                "ENHANCEDSTATUSCODES" => offers.enhanced_codes = true,
                "LIMITS" => offers.limits = Limits::read(parameters),
                // Also "AUTH=", which servers said before there was a standard.
                "AUTH" => offers.auth.extend(parameters.split_ascii_whitespace().map(str::to_owned)),
                _ => {}
            }
        }
        offers
    }

    /// The strongest way to log in that both ends know.
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
    fn offers_are_read_whatever_their_case_and_order() {
        let text = "DSN greets you\nsize 1000\nAUTH login PLAIN\nAUTH=NTLM\nX-NEW thing\nPipelining\nSIZE x\n8bitmime\nLimits RcptMax=9";
        let offers = Offers::read(&Reply::plain(250, text));
        let wanted = Offers {
            esmtp: true,
            size: Some(0),
            pipelining: true,
            eight_bit_mime: true,
            limits: Limits { recipients: Some(9), ..Limits::default() },
            auth: ["LOGIN", "PLAIN", "NTLM"].map(str::to_owned).into(),
            ..Offers::default()
        };
        assert_eq!(offers, wanted);
        assert_eq!(offers.mechanism(true), Some(Mechanism::Plain));
    }
}
