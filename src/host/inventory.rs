//! What the database really holds, read from the tables of queues and mailboxes; simulations check their invariants
//! against it.

use std::collections::BTreeSet;

use crate::mail::{Action, Address, DeliveryReport, JourneyId};
use crate::store::{self, Store};
use crate::{mda, mta};

/// The messages of a world at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Copies in queues: host, journey, recipient.
    pub queued: Vec<(String, JourneyId, Address)>,
    /// Messages in mailboxes: account, journey, number of copies.
    pub filed: Vec<(String, JourneyId, u64)>,
    /// Failed deliveries of which a report is in a mailbox or queue: journey, recipient. The event log may lack them,
    /// since a host that is killed between the commit and the event records no event.
    pub failures: BTreeSet<(JourneyId, Address)>,
    /// Contents whose reference count differs from the number of rows that refer to them.
    pub refcount_errors: u64,
}

impl Inventory {
    /// Reads the inventory of a store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(store: &Store) -> Result<Self, store::Error> {
        let (queues, mailboxes) = (mta::inventory(store)?, mda::inventory(store)?);
        let (failures, refcount_errors) = (BTreeSet::new(), store.refcount_errors()?);
        let mut inventory = Self { queued: queues.queued, filed: mailboxes.filed, failures, refcount_errors };
        for report in queues.reports.into_iter().chain(mailboxes.reports) {
            inventory.note_failures(store.get(report)?.bytes());
        }
        Ok(inventory)
    }

    /// Adds the failed recipients of a delivery report, with the journey of its message, to `failures`. A report that
    /// names no journey is ignored.
    fn note_failures(&mut self, report: &[u8]) {
        let Some(DeliveryReport { journey: Some(journey), recipients, .. }) = DeliveryReport::read(report) else {
            return;
        };
        let failed = recipients.into_iter().filter(|recipient| recipient.action == Action::Failed);
        self.failures.extend(failed.filter_map(|recipient| Some((journey, recipient.address?))));
    }
}
