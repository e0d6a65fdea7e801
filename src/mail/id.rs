//! Message ids: one for the whole journey, one for each stay in a queue.
//!
//! A [`QueueId`] is written `JOURNEY-STAY`, for instance `3FK9Q2XW7T-04KMX`. The first host of a message generates both
//! parts; each later host reads the journey from the `Received` fields and generates only its own stay. One search
//! term therefore finds a message in all logs and trace fields, even if foreign servers are on its way.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Crockford's base 32, without I, L, O and U.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const JOURNEY_LEN: usize = 10;
const STAY_LEN: usize = 5;

/// Identifies one message from its first host to its mailbox, 50 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JourneyId(u64);

/// Identifies one stay of a message in one host's queue; unique in the world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct QueueId {
    /// The journey of the message.
    pub journey: JourneyId,
    stay: u32,
}

/// The text is not a [`JourneyId`] or [`QueueId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a message id of this world (they look like 3FK9Q2XW7T or 3FK9Q2XW7T-04KMX)")]
pub struct InvalidId;

impl JourneyId {
    /// Makes a journey id from the low 50 bits of a number. A host passes the numbers of `Rng::next_ascending`, random
    /// but ascending, so that the indexes of stores append them; any number will do.
    pub fn from_random(random: u64) -> Self {
        Self(random & ((1 << (5 * JOURNEY_LEN)) - 1))
    }

    /// The id as a number of 50 bits, from which [`JourneyId::from_random`] makes the same id again.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Makes a queue id of this journey from a random number, of which the low 25 bits are used.
    pub fn queue_id(self, random: u64) -> QueueId {
        QueueId { journey: self, stay: (random & ((1 << (5 * STAY_LEN)) - 1)) as u32 }
    }
}

/// Writes the low `5 * len` bits of a number as `len` digits of Crockford's base 32.
fn write_digits(f: &mut fmt::Formatter<'_>, value: u64, len: usize) -> fmt::Result {
    let digits: String = (0..len).rev().map(|at| DIGITS[(value >> (5 * at)) as usize & 31] as char).collect();
    f.write_str(&digits)
}

/// Parses exactly `len` digits of Crockford's base 32, in upper case; any other text is an error.
fn read_digits(text: &str, len: usize) -> Result<u64, InvalidId> {
    if text.len() != len {
        return Err(InvalidId);
    }
    text.bytes().try_fold(0, |value, byte| {
        let digit = DIGITS.iter().position(|digit| *digit == byte).ok_or(InvalidId)?;
        Ok(value << 5 | digit as u64)
    })
}

impl fmt::Display for JourneyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_digits(f, self.0, JOURNEY_LEN)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.journey)?;
        write_digits(f, self.stay.into(), STAY_LEN)
    }
}

impl FromStr for JourneyId {
    type Err = InvalidId;

    /// Parses the 10 digits as they are displayed, in upper case only.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        read_digits(text, JOURNEY_LEN).map(Self)
    }
}

impl FromStr for QueueId {
    type Err = InvalidId;

    /// Parses `JOURNEY-STAY`, 10 and 5 digits, as it is displayed, in upper case only.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (journey, stay) = text.split_once('-').ok_or(InvalidId)?;
        Ok(Self { journey: journey.parse()?, stay: read_digits(stay, STAY_LEN)? as u32 })
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
        impl TryFrom<String> for $type {
            type Error = InvalidId;
            /// Parses the id as it is displayed. For deserialization.
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
        impl From<$type> for String {
            /// The id as it is displayed. For serialization.
            fn from(id: $type) -> Self {
                id.to_string()
            }
        }
    };
}

as_text!(JourneyId);
as_text!(QueueId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_id_when_written_parses_to_the_same_id() {
        let id = JourneyId::from_random(u64::MAX).queue_id(0x0012_3456);
        assert_eq!(id.to_string(), "ZZZZZZZZZZ-14D2P");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("zzzzzzzzzz-14D2P".parse::<QueueId>(), Err(InvalidId));
        assert_eq!("4FpRlW0Nq2z".parse::<QueueId>(), Err(InvalidId));
    }
}
