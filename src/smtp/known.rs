//! A large content that this process holds already, as it comes in once more.
//!
//! Each hop of one process would have a buffer of its own while it receives; so what comes is compared instead of kept,
//! for as long as it is the same.

use std::fmt;
use std::sync::Arc;

use crate::mail::Content;

/// Finds a content at hand that begins with these octets, if it is a large one. Knows none by default.
#[derive(Clone, Default)]
pub struct Known(Option<Arc<Find>>);

type Find = dyn Fn(&[u8]) -> Option<Content> + Send + Sync;

impl Known {
    /// Asks this function.
    pub fn by(find: impl Fn(&[u8]) -> Option<Content> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// What comes, if it begins as a content that is known.
    pub(super) fn find(&self, start: &[u8]) -> Option<Same> {
        let content = self.0.as_ref()?(start)?;
        content.bytes().starts_with(start).then_some(Same { content, octets: start.len() })
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Known").field(&self.0.is_some()).finish()
    }
}

impl PartialEq for Known {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Known {}

/// What came so far is the beginning of a content.
#[derive(Debug)]
pub(super) struct Same {
    content: Content,
    octets: usize,
}

impl Same {
    /// Whether this part, too, is what the content has here; it is counted then.
    pub(super) fn goes_on(&mut self, part: &[u8]) -> bool {
        let is_same = self.content.bytes()[self.octets..].starts_with(part);
        if is_same {
            self.octets += part.len();
        }
        is_same
    }

    /// What came so far.
    pub(super) fn start(&self) -> &[u8] {
        &self.content.bytes()[..self.octets]
    }

    /// The content, if it came to its end.
    pub(super) fn whole(&self) -> Option<&Content> {
        (self.octets == self.content.bytes().len()).then_some(&self.content)
    }
}
