//! Recognizes a large content that is cached in this process while it is received again.
//!
//! Otherwise each hop in this process would hold its own copy while it receives a message. Input is compared with the
//! cached content instead of buffered, until it differs.

use std::fmt;
use std::sync::Arc;

use crate::mail::Content;

/// Lookup of cached large contents by their first bytes. Finds none by default.
#[derive(Clone, Default)]
pub struct KnownContents(Option<Arc<Find>>);

type Find = dyn Fn(&[u8]) -> Option<Content> + Send + Sync;

impl KnownContents {
    /// Looks up contents with this function.
    pub fn by(find: impl Fn(&[u8]) -> Option<Content> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(find)))
    }

    /// The cached content that begins with `start`.
    pub(super) fn find(&self, start: &[u8]) -> Option<ContentMatch> {
        let content = self.0.as_ref()?(start)?;
        content.bytes().starts_with(start).then_some(ContentMatch { content, bytes: start.len() })
    }
}

impl fmt::Debug for KnownContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownContents").field(&self.0.is_some()).finish()
    }
}

impl PartialEq for KnownContents {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for KnownContents {}

/// A content whose first bytes equal the input so far.
#[derive(Debug)]
pub(super) struct ContentMatch {
    content: Content,
    bytes: usize,
}

impl ContentMatch {
    /// Whether the content continues with this part; if so, the part counts as matched.
    pub(super) fn continues_with(&mut self, part: &[u8]) -> bool {
        let is_same = self.content.bytes()[self.bytes..].starts_with(part);
        if is_same {
            self.bytes += part.len();
        }
        is_same
    }

    /// The matched bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.content.bytes()[..self.bytes]
    }

    /// The content, if all of it has been matched.
    pub(super) fn whole(&self) -> Option<&Content> {
        (self.bytes == self.content.bytes().len()).then_some(&self.content)
    }
}
