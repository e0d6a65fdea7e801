//! The rows themselves; and what tests of the queue do to them.

use super::*;
use crate::mta::test_support::{mail, store};
use crate::store::Store;

/// How many rows a table has.
pub(in crate::mta) fn count(store: &Store, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    store.read(|connection| connection.query_row(&sql, [], |row| row.get(0))).unwrap()
}

/// Changes rows behind the back of the queue, as a failing disk might.
pub(in crate::mta) async fn execute(store: &Store, sql: &'static str) {
    store.write(move |transaction| Ok::<_, Error>(transaction.execute(sql, [])?)).await.unwrap();
}

const START: Timestamp = Timestamp::UNIX_EPOCH;

#[tokio::test]
async fn rows_of_a_host_lie_together_and_no_id_is_given_twice() {
    let store = store();
    let all = |store: &Store| -> Vec<(i64, String)> {
        let sql = "SELECT queue.id, host FROM queue JOIN queue_host ON number = id >> 32 ORDER BY queue.id";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        store.read(|it| it.prepare(sql)?.query_map([], read)?.collect::<rusqlite::Result<_>>()).unwrap()
    };
    for (number, host) in [(1, "one"), (2, "other"), (3, "one"), (4, "other")] {
        store.write(move |transaction| insert(transaction, &host.into(), mail(number))).await.unwrap();
    }
    let row = |number: i64, low: i64, host: &str| ((number << 32) + low, host.to_owned());
    assert_eq!(all(&store), [row(1, 1, "one"), row(1, 2, "one"), row(2, 1, "other"), row(2, 2, "other")]);
    let due = |host: &str| store.read(|connection| waiting(connection, &host.into())).unwrap();
    assert_eq!(due("one"), BTreeSet::from([(START, (1 << 32) + 1), (START, (1 << 32) + 2)]));
    assert_eq!(due("other"), BTreeSet::from([(START, (2 << 32) + 1), (START, (2 << 32) + 2)]));
    assert_eq!(due("third"), BTreeSet::new());
    execute(&store, "DELETE FROM queue").await;
    store.write(move |transaction| insert(transaction, &"one".into(), mail(5))).await.unwrap();
    assert_eq!(all(&store), [row(1, 3, "one")], "the row that is gone may still be referenced");
}
