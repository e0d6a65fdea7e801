//! The tables of the mailboxes in SQLite.

use rusqlite::Connection;

use super::Inventory;
use crate::store::Error;

pub(super) fn inventory(connection: &Connection) -> Result<Inventory, Error> {
    let mut inventory = Inventory::default();
    let sql = "SELECT account.key, trace.journey, count(*) FROM trace
        JOIN mailbox ON mailbox.id = trace.mailbox JOIN account ON account.id = mailbox.account
        WHERE trace.journey IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";
    let mut query = connection.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let Ok(journey) = row.get_ref(1)?.as_str().unwrap_or_default().parse() {
            inventory.filed.push((row.get(0)?, journey, row.get(2)?));
        }
    }
    let sql = "SELECT DISTINCT content FROM trace JOIN message USING (mailbox, uid)
        WHERE CAST(substr(octets, 1, 15) AS TEXT) = 'Return-Path: <>' ORDER BY 1";
    let reports = connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    inventory.reports = reports;
    Ok(inventory)
}
