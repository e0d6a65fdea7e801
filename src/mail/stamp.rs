//! The trace fields that a host adds to a message. RFC 5321 §4.4.

use std::fmt;
use std::net::IpAddr;

use super::{Address, QueueId, ReversePath};

/// A `Received` field, for [`super::Message::with_header`].
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The client's name in `EHLO`, `HELO` or `LHLO`.
    pub hello: &'a str,
    /// The host name of `peer` in the world, if it has one.
    pub known: Option<&'a str>,
    /// The client's address.
    pub peer: IpAddr,
    /// The receiving host.
    pub by: &'a str,
    /// The protocol keyword of RFC 3848.
    pub with: &'a str,
    /// The id of the message at the receiving host.
    pub id: QueueId,
    /// TLS version and cipher, if encrypted.
    pub tls: Option<&'a str>,
    /// The recipient, if there is exactly one: naming several would disclose each to the others (RFC 5321 §7.2).
    pub recipient: Option<&'a Address>,
    /// Date and time of RFC 5322 §3.3.
    pub date: &'a str,
}

impl fmt::Display for Stamp<'_> {
    /// The whole field, folded, with its name and without the last CR LF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = if self.peer.is_ipv6() { "IPv6:" } else { "" };
        write!(f, "Received: from {} ({} [{tag}{}])", self.hello, self.known.unwrap_or("unknown"), self.peer)?;
        write!(f, "\r\n\tby {} (Postroad) with {} id {}", self.by, self.with, self.id)?;
        if let Some(tls) = self.tls {
            write!(f, "\r\n\t({tls})")?;
        }
        if let Some(recipient) = self.recipient {
            // In A-labels, so that the field is ASCII wherever the local part is: the next host may lack SMTPUTF8.
            write!(f, "\r\n\tfor <{}>", recipient.clone().in_a_labels())?;
        }
        write!(f, ";\r\n\t{}", self.date)
    }
}

/// The field `Return-Path: <address>` that final delivery puts on top, without CR LF: the address to which reports
/// about the message would have gone.
pub fn return_path(reverse_path: &ReversePath) -> String {
    match reverse_path {
        Some(address) => format!("Return-Path: <{address}>"),
        None => "Return-Path: <>".to_owned(),
    }
}

/// The field `Delivered-To: address`, without CR LF and with the domain in A-labels, that a host adds when it forwards
/// a message by this alias; a host that finds its own alias there detects a loop. RFC 9228 §4.
pub fn delivered_to(alias: &Address) -> String {
    format!("Delivered-To: {}", alias.clone().in_a_labels())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{JourneyId, Message};
    use super::*;

    #[test]
    fn stamp_when_added_is_a_trace_field_that_holds_the_journey() {
        let (id, recipient) = (JourneyId::from_random(3).queue_id(4), "b@y.test".parse().unwrap());
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
        let message = Message::new(Bytes::from_static(b"Subject: s\r\n\r\n"));
        let message = message.with_header(&field).with_header(&return_path(&None));
        assert_eq!((message.journey(), message.hops()), (Some(id.journey), 1));
        assert_eq!(Message::new(message.to_bytes()), message);
    }
}
