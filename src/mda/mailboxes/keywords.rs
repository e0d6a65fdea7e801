//! Keywords of messages. Most messages have none, and many have the same, which they share.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

/// Most different lists of keywords that the messages of a mailbox share; further ones are not shared.
const MAX_SHARED_LISTS: usize = 1_000;
/// About the overhead of a list and of a keyword, in bytes.
const LIST_BYTES: usize = 64;
const KEYWORD_BYTES: usize = 40;

/// The keywords of a message. Clones share them; none take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Keywords(Option<Arc<Vec<String>>>);

impl From<Vec<String>> for Keywords {
    /// Takes the words as they are, in this order.
    fn from(words: Vec<String>) -> Self {
        Self((!words.is_empty()).then(|| Arc::new(words)))
    }
}

impl Deref for Keywords {
    type Target = [String];

    fn deref(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |words| words.as_slice())
    }
}

/// The lists of keywords that the messages of a mailbox have, or had since it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct KeywordLists {
    lists: BTreeSet<Keywords>,
    bytes: usize,
}

impl KeywordLists {
    /// Returns the same keywords, shared with other messages if `lists` has them; else adds them to `lists`, if that
    /// has fewer than 1000 lists. `lists` is copied only if it changes.
    pub(super) fn share(lists: &mut Arc<Self>, keywords: Keywords) -> Keywords {
        if keywords.is_empty() {
            return keywords;
        }
        if let Some(shared) = lists.lists.get(&keywords) {
            return shared.clone();
        }
        let lists = Arc::make_mut(lists);
        lists.bytes += LIST_BYTES + keywords.iter().map(|word| word.len() + KEYWORD_BYTES).sum::<usize>();
        if lists.lists.len() < MAX_SHARED_LISTS {
            lists.lists.insert(keywords.clone());
        }
        keywords
    }

    /// All keywords that occur in the lists, each once.
    pub(super) fn words(&self) -> BTreeSet<&str> {
        self.lists.iter().flat_map(|list| list.iter()).map(String::as_str).collect()
    }

    /// About the memory that the lists take, at most, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
