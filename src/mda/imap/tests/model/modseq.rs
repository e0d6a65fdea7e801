//! Somebody looks at each mailbox at every step: what is held has the flags of the model, and numbers of changes that fit
//! what happened. RFC 7162 §3.1.

use super::*;

/// A mailbox with the numbers of the last changes.
pub(super) struct Observed {
    observer: Client,
    known: BTreeMap<u32, (Flags, u64)>,
    /// The highest number so far.
    last: u64,
}

impl Observed {
    pub(super) async fn new(scene: &Scene, at: usize) -> Self {
        let mut observer = Client { stream: scene.log_in().await, selected: at, mirror: vec![], statuses: vec![] };
        observer.ask("ENABLE CONDSTORE").await;
        observer.ask(&format!("EXAMINE {}", BOXES[at])).await;
        Self { observer, known: BTreeMap::new(), last: 0 }
    }

    /// A message has a number higher than all before if it is new or has other flags, else the one it had; `once` says
    /// that nobody can have changed it and changed it back.
    pub(super) async fn check(&mut self, model: &Model, once: bool) {
        self.observer.ask("NOOP").await;
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
