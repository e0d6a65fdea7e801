//! Checks every mailbox after each step: flags agree with the model, and modification sequences with the changes. RFC
//! 7162 §3.1.

use super::*;

/// A mailbox with its last modification sequences.
pub(super) struct Observed {
    observer: Client,
    known: BTreeMap<u32, (Flags, u64)>,
    /// The highest one so far.
    last: u64,
}

impl Observed {
    pub(super) async fn new(fixture: &Fixture, at: usize) -> Self {
        let mut observer = Client::new(fixture, at, Some("CONDSTORE")).await;
        observer.send(&format!("EXAMINE {}", BOXES[at])).await;
        Self { observer, known: BTreeMap::new(), last: 0 }
    }

    /// Another session was told of all messages.
    pub(super) async fn check_none_is_recent(&mut self) {
        let other = BOXES[self.observer.selected];
        let answer = self.observer.send(&format!("STATUS {other} (RECENT)")).await;
        assert!(answer.lines.iter().any(|line| line.contains("(RECENT 0)")), "{:?}", answer.lines);
    }

    /// A new or changed message has a modification sequence higher than all before, an unchanged one keeps its own;
    /// with `once`, no message can have been changed back.
    pub(super) async fn check(&mut self, model: &Model, once: bool) {
        self.observer.send("NOOP").await;
        let modseqs = self.observer.modseqs().await;
        let held = &model.held;
        assert!(modseqs.keys().eq(held.keys()), "{modseqs:?} of {held:?}");
        let mut now = BTreeMap::new();
        for (uid, modseq) in modseqs {
            match self.known.get(&uid) {
                Some((flags, before)) if *flags == held[&uid] => {
                    assert!(modseq == *before || (!once && self.last < modseq), "{uid}: {before}, then {modseq}");
                }
                _ => assert!(self.last < modseq, "{uid} has changed: {modseq} after {}", self.last),
            }
            now.insert(uid, (held[&uid].clone(), modseq));
        }
        self.last = now.values().map(|(_, modseq)| *modseq).max().unwrap_or_default().max(self.last);
        self.known = now;
    }
}
