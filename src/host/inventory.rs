//! What the database really holds, read from the tables of queues and mailboxes; simulations check their invariants
//! against it.

use std::collections::BTreeSet;

use rusqlite::Connection;

use crate::mail::{Action, Address, DeliveryReport, Envelope, JourneyId};
use crate::store::{self, Store};

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
        let (mut inventory, reports) = store.read(|connection| {
            let mut inventory = Self::default();
            let mut rows = connection
                .prepare("SELECT host, name, envelope FROM queue JOIN queue_host ON number = id >> 32 ORDER BY id")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let (host, name, envelope): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let envelope: Envelope = serde_json::from_str(&envelope).unwrap_or_default();
                if let Ok(id) = name.parse::<crate::mail::QueueId>() {
                    let waiting = envelope.recipients.into_iter();
                    inventory.queued.extend(waiting.map(|recipient| (host.clone(), id.journey, recipient.address)));
                }
            }
            let sql = "SELECT account.key, trace.journey, count(*) FROM trace
                JOIN mailbox ON mailbox.id = trace.mailbox JOIN account ON account.id = mailbox.account
                WHERE trace.journey IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";
            let mut rows = connection.prepare(sql)?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                if let Ok(journey) = row.get::<_, String>(1)?.parse() {
                    inventory.filed.push((row.get(0)?, journey, row.get(2)?));
                }
            }
            let sql = "SELECT count(*) FROM content LEFT JOIN (SELECT id, sum(uses) AS used FROM
                (SELECT content AS id, count(*) AS uses FROM queue GROUP BY 1
                 UNION ALL SELECT content, count(*) FROM message GROUP BY 1) GROUP BY id) USING (id)
                WHERE uses <> ifnull(used, 0)";
            inventory.refcount_errors = connection.query_row(sql, [], |row| row.get(0))?;
            Ok((inventory, reports(connection)?))
        })?;
        for report in reports {
            inventory.read(store.get(report)?.bytes());
        }
        Ok(inventory)
    }

    fn read(&mut self, report: &[u8]) {
        let Some(DeliveryReport { journey: Some(journey), recipients, .. }) = DeliveryReport::read(report) else {
            return;
        };
        let failed = recipients.into_iter().filter(|recipient| recipient.action == Action::Failed);
        self.failures.extend(failed.filter_map(|recipient| Some((journey, recipient.address?))));
    }
}

/// Finds all delivery reports: in mailboxes they begin with a null Return-Path, in queues they have a null
/// reverse-path.
fn reports(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT content FROM trace JOIN message USING (mailbox, uid)
         WHERE CAST(substr(octets, 1, 15) AS TEXT) = 'Return-Path: <>'
         UNION SELECT content FROM queue WHERE json_extract(envelope, '$.reverse_path') IS NULL ORDER BY 1";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
