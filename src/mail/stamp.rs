//! What a host writes above a message that it takes. RFC 5321 §4.4.

use std::fmt;
use std::net::IpAddr;

use super::{Address, QueueId, ReversePath};

/// A `Received` field, for [`super::Letter::stamped`]: who brought a message, who took it, how and when.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// What the client called itself.
    pub hello: &'a str,
    /// What the world knows it by, if at all.
    pub known: Option<&'a str>,
    /// Where it connected from.
    pub peer: IpAddr,
    /// The host that took it.
    pub by: &'a str,
    /// The protocol, in the words of RFC 3848.
    pub with: &'a str,
    /// The name of the message there.
    pub id: QueueId,
    /// Version and cipher, if encrypted.
    pub tls: Option<&'a str>,
    /// The recipient, if there is one only: to name several would tell each about the others (RFC 5321 §7.2).
    pub recipient: Option<&'a Address>,
    /// When, as RFC 5322 §3.3 writes it.
    pub date: &'a str,
}

impl fmt::Display for Stamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = if self.peer.is_ipv6() { "IPv6:" } else { "" };
        write!(f, "Received: from {} ({} [{tag}{}])", self.hello, self.known.unwrap_or("unknown"), self.peer)?;
        write!(f, "\r\n\tby {} (Postroad) with {} id {}", self.by, self.with, self.id)?;
        if let Some(tls) = self.tls {
            write!(f, "\r\n\t({tls})")?;
        }
        if let Some(recipient) = self.recipient {
            write!(f, "\r\n\tfor <{recipient}>")?;
        }
        write!(f, ";\r\n\t{}", self.date)
    }
}

/// The field that the last host writes on top of all: where reports about the message would have gone.
pub fn return_path(reverse_path: &ReversePath) -> String {
    match reverse_path {
        Some(address) => format!("Return-Path: <{address}>"),
        None => "Return-Path: <>".to_owned(),
    }
}

/// The field that a host writes on top of what it sends on by this alias; who meets its own name there ends a loop.
/// RFC 9228 §4.
pub fn delivered_to(alias: &Address) -> String {
    format!("Delivered-To: {alias}")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{JourneyId, Letter};
    use super::*;

    #[test]
    fn a_stamp_is_a_trace_field_that_names_the_journey() {
        let (id, recipient) = (JourneyId::of(3).stay(4), "b@y.test".parse().unwrap());
        let stamp = Stamp {
            hello: "a.test",
            known: None,
            peer: "::1".parse().unwrap(),
            by: "b.test",
            with: "LMTPS",
            id,
            tls: Some("TLSv1.3 AES"),
            recipient: Some(&recipient),
            date: "Thu, 1 Jan 1970 00:00:00 +0000",
        };
        let field = stamp.to_string();
        assert_eq!(
            field,
            format!(
                "Received: from a.test (unknown [IPv6:::1])\r\n\tby b.test (Postroad) with LMTPS id {id}\
                 \r\n\t(TLSv1.3 AES)\r\n\tfor <b@y.test>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000"
            )
        );
        let letter = Letter::new(Bytes::from_static(b"Subject: s\r\n\r\n"));
        let letter = letter.stamped(&field).stamped(&return_path(&None));
        assert_eq!((letter.journey(), letter.hops()), (Some(id.journey), 1));
        assert_eq!(Letter::new(letter.to_bytes()), letter);
    }
}
