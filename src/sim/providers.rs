//! A generated world of equal providers, each with an MTA, an MDA, a domain and users. Mail between them is routed by
//! MX, without relays.

use std::fmt::Write;

/// The world file with `count` providers with `users` users each, named as
/// [`ProvidersTable`](super::file::ProvidersTable) says, and one MUA and name server. Hosts of providers have addresses
/// in 10.0.0.0/8 (RFC 1918).
pub(super) fn text(count: usize, users: usize) -> String {
    let mut text = String::from(
        "[world]\nname = \"providers\"\npassword = \"postroad\"\nlatency = \"10ms\"\n\
         [dns.dns]\naddress = \"192.0.2.53\"\n[mua.mua]\naddress = \"192.0.2.10\"\n",
    );
    let users = (0..users).map(|user| format!("\"u{user}\"")).collect::<Vec<_>>().join(", ");
    for at in 0..count {
        let (high, low) = (at / 250, at % 250 + 1);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[domains.\"p{at}.test\"]\nmx = [\"mta-{at}\"]\nmailboxes = \"mda-{at}\"\nusers = [{users}]\n\
             [mta.mta-{at}]\nname = \"mx.p{at}.test\"\naddress = \"10.1.{high}.{low}\"\n\
             [mda.mda-{at}]\nname = \"mail.p{at}.test\"\naddress = \"10.2.{high}.{low}\"\n"
        );
    }
    text
}
