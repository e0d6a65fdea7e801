//! What a start finds in mailboxes: the messages, and the journeys by which they came.

use jiff::Timestamp;

use super::{Uid, sqlite};
use crate::mail::{JourneyId, ReversePath};
use crate::store::{self, Store};

/// A message in a mailbox that came by a journey, as a start finds it.
#[derive(Clone, Debug)]
pub struct FiledMessage {
    /// Its place in the order of [`filed_after`].
    pub place: (i64, Uid),
    /// The account.
    pub account: String,
    /// The mailbox in the account.
    pub mailbox: String,
    /// The journey; `None` if it cannot be read.
    pub journey: Option<JourneyId>,
    /// When it came into this mailbox.
    pub saved: Timestamp,
    /// Who sent it.
    pub reverse_path: ReversePath,
}

/// The messages with a journey, in all mailboxes, that came into their mailbox at `since` or later: at most `limit`
/// after the one at `place`, the last of an earlier call, in the order of mailbox ids and UIDs.
///
/// # Errors
/// The store cannot be read.
pub fn filed_after(
    store: &Store,
    place: (i64, Uid),
    since: Timestamp,
    limit: usize,
) -> Result<Vec<FiledMessage>, store::Error> {
    store.read(|connection| sqlite::filed_after(connection, place, since.as_second(), limit))
}
