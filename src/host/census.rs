//! What is really stored, straight from the tables of queues and mailboxes: the truth that simulations judge by.

use crate::mail::{Address, Envelope, JourneyId};
use crate::store::{self, Store};

/// Everything that a world holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Copies that wait: host, journey, recipient.
    pub queued: Vec<(String, JourneyId, Address)>,
    /// Messages in mailboxes: account, journey, how often.
    pub filed: Vec<(String, JourneyId, u64)>,
    /// Contents whose count of uses is not what queues and mailboxes use.
    pub leaked: u64,
}

impl Census {
    /// Counts.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn of(store: &Store) -> Result<Self, store::Error> {
        store.read(|connection| {
            let mut census = Self::default();
            let mut rows = connection.prepare("SELECT host, name, envelope FROM queue ORDER BY id")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let (host, name, envelope): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                let envelope: Envelope = serde_json::from_str(&envelope).unwrap_or_default();
                if let Ok(id) = name.parse::<crate::mail::QueueId>() {
                    let waiting = envelope.recipients.into_iter();
                    census.queued.extend(waiting.map(|recipient| (host.clone(), id.journey, recipient.address)));
                }
            }
            let sql = "SELECT account.key, message.journey, count(*) FROM message
                JOIN mailbox ON mailbox.id = message.mailbox JOIN account ON account.id = mailbox.account
                WHERE message.journey IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";
            let mut rows = connection.prepare(sql)?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                if let Ok(journey) = row.get::<_, String>(1)?.parse() {
                    census.filed.push((row.get(0)?, journey, row.get(2)?));
                }
            }
            let sql = "SELECT count(*) FROM content LEFT JOIN (SELECT id, sum(uses) AS used FROM
                (SELECT content AS id, count(*) AS uses FROM queue GROUP BY 1
                 UNION ALL SELECT content, count(*) FROM message GROUP BY 1) GROUP BY id) USING (id)
                WHERE uses <> ifnull(used, 0)";
            census.leaked = connection.query_row(sql, [], |row| row.get(0))?;
            Ok(census)
        })
    }
}
