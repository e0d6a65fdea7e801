//! How long an MTA waits for the next host.

use std::time::Duration;

use serde::Deserialize;

use super::span;

/// `timeouts` of `[mta.NAME]`: how long its client waits. RFC 5321 §4.5.3.2 has the defaults, but for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { connect = \"10s\", greeting = \"30s\" }")]
pub struct Timeouts {
    /// For the connection to an address.
    #[serde(with = "span")]
    pub connect: Duration,
    /// For the greeting. §4.5.3.2.1.
    #[serde(with = "span")]
    pub greeting: Duration,
    /// For the reply to MAIL, and to all commands not named here. §4.5.3.2.2.
    #[serde(with = "span")]
    pub command: Duration,
    /// For the reply to RCPT. §4.5.3.2.3.
    #[serde(with = "span")]
    pub rcpt: Duration,
    /// For the reply to DATA. §4.5.3.2.4.
    #[serde(with = "span")]
    pub data: Duration,
    /// For sending a block of the message. §4.5.3.2.5.
    #[serde(with = "span")]
    pub block: Duration,
    /// For the reply to the final dot. §4.5.3.2.6.
    #[serde(with = "span")]
    pub dot: Duration,
}

impl Default for Timeouts {
    /// The least timeouts that RFC 5321 §4.5.3.2 recommends, and 30 s to connect.
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            connect: Duration::from_secs(30),
            greeting: minutes(5),
            command: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            block: minutes(3),
            dot: minutes(10),
        }
    }
}

impl Timeouts {
    /// Whether no timeout is 0.
    pub(super) fn are_possible(&self) -> bool {
        let Self { connect, greeting, command, rcpt, data, block, dot } = self;
        [connect, greeting, command, rcpt, data, block, dot].iter().all(|time| !time.is_zero())
    }
}
