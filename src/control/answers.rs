//! JSON responses of the control interface.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::Serialize;

use crate::host::RunningWorld;
use crate::journey::{JourneyPage, JourneyState, RecipientStatus};
use crate::mail::{Address, JourneyId, ReversePath};
use crate::world::{Host, Service};

/// A host and its state.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HostReport {
    name: String,
    fqdn: String,
    role: &'static str,
    #[schema(value_type = Vec<String>)]
    addresses: Vec<IpAddr>,
    /// Whether it is turned on.
    on: bool,
    /// Where programs outside the world reach it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    ports: BTreeMap<Service, SocketAddr>,
    /// Length of its queue; MTAs only.
    #[serde(skip_serializing_if = "Option::is_none")]
    queued: Option<usize>,
}

impl HostReport {
    /// Returns the report of a host: what the world declares of it, whether it is on, the bound addresses of its public
    /// ports, and the number of messages in its queue; `queued` is absent unless it is an MTA that runs in this
    /// process.
    pub(super) fn of(host: &Host, running: &RunningWorld) -> Self {
        Self {
            name: host.name.to_string(),
            fqdn: host.fqdn.clone(),
            role: host.role.name(),
            addresses: host.addresses.clone(),
            on: running.is_on(&host.name),
            ports: running.public_ports_of(&host.name),
            queued: running.mtas.get(&host.name).map(|mta| mta.queue().len()),
        }
    }
}

/// A journey without its events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JourneyReport {
    id: JourneyId,
    #[schema(value_type = Option<Address>)]
    reverse_path: ReversePath,
    began: Timestamp,
    settled: bool,
    #[schema(value_type = BTreeMap<String, RecipientStatus>)]
    recipients: BTreeMap<Address, RecipientStatus>,
    in_doubt: bool,
    /// How many events it has.
    events: u64,
}

impl JourneyReport {
    /// Returns the report of a journey; of its events, only their number is in it.
    fn of(state: JourneyState) -> Self {
        let settled = state.is_settled();
        let JourneyState { journey: id, reverse_path, began, recipients, in_doubt, event_count: events, .. } = state;
        Self { id, reverse_path, began, settled, recipients, in_doubt, events }
    }
}

/// Some journeys of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct JourneyList {
    /// How many there are in all.
    total: u64,
    /// `cursor` of the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
    /// Newest first; those that `ids` names in the order of `ids`.
    journeys: Vec<JourneyReport>,
}

impl JourneyList {
    /// A list of exactly these journeys, in this order, without a next page.
    pub(super) fn some(journeys: Vec<JourneyState>) -> Self {
        let journeys: Vec<_> = journeys.into_iter().map(JourneyReport::of).collect();
        Self { total: journeys.len() as u64, next: None, journeys }
    }

    /// Returns a page of journeys as a list in the same order, with the page's `total` and `next`.
    pub(super) fn of(JourneyPage { total, journeys, next }: JourneyPage) -> Self {
        Self { total, next, journeys: journeys.into_iter().map(JourneyReport::of).collect() }
    }
}
