//! One client uses NOTIFY: its mirror of the selected mailbox is current without commands, and it receives STATUS of
//! the other mailbox after changes. RFC 5465 §3.1, §5.

use super::*;

/// Its index. It uses only UIDs, as sequence numbers may change at any time.
pub(super) const LISTENER: usize = 0;

impl Client {
    pub(super) async fn listen(&mut self) {
        let items = "(UID FLAGS)";
        self.send(&format!(
            "NOTIFY SET (SELECTED (MessageNew {items} MessageExpunge FlagChange)) \
             (PERSONAL (MessageNew MessageExpunge FlagChange))"
        ))
        .await;
    }
}

impl World {
    /// Everything is reported without a command.
    pub(super) async fn check_listener(&mut self, before: &[Model; 2]) {
        self.clients[LISTENER].read_until_idle(false).await;
        self.check(LISTENER, true);
        let other = 1 - self.clients[LISTENER].selected;
        let statuses = std::mem::take(&mut self.clients[LISTENER].statuses);
        // Own changes are not reported.
        if !std::mem::take(&mut self.acted).contains(&LISTENER) && before[other] != self.models[other] {
            let Model { held, .. } = &self.models[other];
            let unseen = held.values().filter(|flags| !flags.contains("\\Seen")).count();
            let reported = statuses.last().unwrap_or_else(|| panic!("{} has changed", BOXES[other]));
            assert!(reported.starts_with(&format!("* STATUS \"{}\" (", BOXES[other])), "{reported}");
            assert!(reported.contains(&format!("UNSEEN {unseen}")), "{reported}: there are {unseen}");
            let counted = reported.split_once("MESSAGES ").map(|(_, rest)| rest.split(' ').next().unwrap());
            assert!(
                counted.is_none_or(|count| count == held.len().to_string()),
                "{reported}: there are {}",
                held.len()
            );
            let came_or_went = !before[other].held.keys().eq(held.keys());
            assert!(!came_or_went || statuses.iter().any(|reported| reported.contains("MESSAGES ")), "{statuses:?}");
        }
    }
}
