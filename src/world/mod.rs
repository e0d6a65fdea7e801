//! The declared world: hosts, names, users, links; its clock and its dice.

mod clock;
mod dice;

pub use clock::{Clock, later, rfc5322_date};
pub use dice::Dice;
