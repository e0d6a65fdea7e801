//! What a start after a crash has to look at: the contents that were written last.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::segments::Files;
use super::{Schema, content};

/// Forgets contents whose bytes are not there, and all that names them.
///
/// Rows and bytes of a commit become durable side by side, and only when both are is anybody told. A commit that a crash
/// has cut off may have left its rows alone, in the last segment that rows name; nobody relies on them.
pub(super) fn forget_torn(connection: &mut Connection, files: &Files, schemas: &[Schema]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let sql = format!("SELECT {} FROM content WHERE segment = (SELECT max(segment) FROM content)", content::COLUMNS);
    let torn: Vec<i64> = transaction
        .prepare(&sql)?
        .query_map([], |row| content::Found::read(row, 0))?
        .filter_map(|found| found.map(|found| (!found.is_sound(files)).then_some(found.id)).transpose())
        .collect::<rusqlite::Result<_>>()?;
    if !torn.is_empty() {
        tracing::warn!(contents = torn.len(), "a crash cut off the last commit; what nobody was told of is forgotten");
        forget(&transaction, &torn)?;
        schemas.iter().filter_map(|schema| schema.recount).try_for_each(|sql| transaction.execute_batch(sql))?;
    }
    transaction.commit()
}

fn forget(connection: &Connection, contents: &[i64]) -> rusqlite::Result<()> {
    let tables = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) p ON p.name = 'content'
        WHERE m.type = 'table' UNION ALL SELECT 'content' ORDER BY 1";
    let tables: Vec<String> =
        connection.prepare(tables)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    for table in tables {
        let column = if table == "content" { "id" } else { "content" };
        let mut forget = connection.prepare(&format!("DELETE FROM {table} WHERE {column} = ?1"))?;
        contents.iter().try_for_each(|id| forget.execute(params![id]).map(drop))?;
    }
    Ok(())
}

/// The octets that live in each segment.
pub(super) fn live(connection: &Connection) -> rusqlite::Result<BTreeMap<i64, u64>> {
    // SQLite would sort all of them first.
    let mut live = BTreeMap::new();
    let mut find = connection.prepare("SELECT segment, octets FROM content WHERE segment != 0")?;
    let mut rows = find.query([])?;
    while let Some(row) = rows.next()? {
        *live.entry(row.get(0)?).or_default() += row.get::<_, u64>(1)?;
    }
    Ok(live)
}

/// The highest id of a content.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM content", [], |row| row.get(0))
}
