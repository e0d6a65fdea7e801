//! The ports of hosts inside a world. For the public ports see [`super::Service`].

/// DNS, UDP and TCP. RFC 1035 §4.2.
pub const DNS: u16 = 53;
/// SMTP between hosts. RFC 5321 §4.5.4.2.
pub const SMTP: u16 = 25;
/// Submission with STARTTLS. RFC 6409 §3.1.
pub const SUBMISSION: u16 = 587;
/// Submission with implicit TLS. RFC 8314 §3.3.
pub const SUBMISSIONS: u16 = 465;
/// LMTP, by custom; RFC 2033 §5 only forbids 25.
pub const LMTP: u16 = 24;
/// POP3 with STLS. RFC 1939 §3.
pub const POP3: u16 = 110;
/// POP3 with implicit TLS. RFC 8314 §3.3.
pub const POP3S: u16 = 995;
/// IMAP with STARTTLS. RFC 9051 §2.1.
pub const IMAP: u16 = 143;
/// IMAP with implicit TLS. RFC 8314 §3.3.
pub const IMAPS: u16 = 993;
