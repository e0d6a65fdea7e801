//! The tables of the catalogue in SQLite: the only folder of this module that knows SQL.
//!
//! | function | promise |
//! |---|---|
//! | [`insert`], [`append`] | a new entry, which counts as one use of its content; for a message without a journey, with an id of its own |
//! | [`find_expected`] | what a copy of a journey's message belongs to, and the flags it is to have |
//! | [`list_under`], [`forget_address`] | lists an entry under one more address, or no longer; without any, it is removed |
//! | [`set_state`] | read state and tags, as worked out from the copies |
//! | [`set_tags`], [`expect_seen`], [`expect_tags`] | the same for copies to come, and while there are none |
//! | [`remove`] | deletes an entry, and one use of its content |
//! | [`unindexed`], [`insert_summary`] | entries without a summary, in order; stores one |
//! | [`page`], [`count`], [`numbers`], [`find`], [`entry`], [`tags`], [`totals`], [`thread`] | entries |

mod changes;
mod query;
mod schema;

pub use changes::{
    Expected, append, expect_seen, expect_tags, find_expected, forget_address, insert, is_listed_only_under,
    list_under, remove, set_state, set_tags,
};
pub(super) use changes::{insert_summary, unindexed};
pub(super) use query::{count, entry, find, numbers, page, tags, thread, totals};
pub use schema::SCHEMA;
