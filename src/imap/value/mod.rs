//! Basic values of the protocol: number sets, flags, mailbox names, dates, pages.

mod date;
mod flag;
mod mailbox;
mod sent_date;
mod sequence;
mod window;

pub use date::{day_of, format_date_time, parse_date, parse_date_time};
pub(crate) use flag::is_atom_char;
pub use flag::{Flags, StoreMode, SystemFlags};
pub use mailbox::{pattern_matches, utf7_decode, utf7_encode};
pub(crate) use sent_date::SentDate;
pub use sequence::{Number, Numbers, SequenceSet};
pub use window::Window;
