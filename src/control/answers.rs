//! JSON responses of the control interface.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use crate::host::RunningWorld;
use crate::journey::{Journey, RecipientStatus};
use crate::mail::{Address, JourneyId, ReversePath};
use crate::world::{Host, Role};

/// A host and its state.
#[derive(Debug, Serialize)]
pub struct HostReport {
    name: String,
    fqdn: String,
    role: &'static str,
    addresses: Vec<IpAddr>,
    /// Whether it is turned on.
    on: bool,
    /// Length of its queue; MTAs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<usize>,
}

impl HostReport {
    pub(super) fn of(host: &Host, running: &RunningWorld) -> Self {
        Self {
            name: host.name.to_string(),
            fqdn: host.fqdn.clone(),
            role: match host.role {
                Role::Dns => "dns",
                Role::Mua => "mua",
                Role::Mta(_) => "mta",
                Role::Mda(_) => "mda",
            },
            addresses: host.addresses.clone(),
            on: running.is_on(&host.name),
            queued: running.mtas.get(&host.name).map(|mta| mta.queue().len()),
        }
    }
}

/// A journey without its events.
#[derive(Debug, Serialize)]
pub struct JourneyReport {
    journey: JourneyId,
    reverse_path: ReversePath,
    began: Timestamp,
    settled: bool,
    recipients: BTreeMap<Address, RecipientStatus>,
    events: usize,
}

impl JourneyReport {
    pub(super) fn of(story: &Journey) -> Self {
        Self {
            journey: story.journey,
            reverse_path: story.reverse_path.clone(),
            began: story.began,
            settled: story.is_settled(),
            recipients: story.recipients.clone(),
            events: story.events.len(),
        }
    }
}
