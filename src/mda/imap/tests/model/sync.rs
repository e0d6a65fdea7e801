//! One client uses QRESYNC: VANISHED, conditional STORE, and resynchronisation after a reconnect. RFC 7162 §3.1.3,
//! §3.2.5.

use super::*;

/// Its index.
pub(super) const SYNCED: usize = CLIENTS - 1;

impl Client {
    /// RFC 7162 §3.2.10.
    pub(super) fn note_vanished(&mut self, uids: &[u32]) {
        for uid in uids {
            let place = self.mirror.iter().position(|known| known.uid == *uid);
            // Messages whose UIDs were not requested yet do not matter.
            let place = place.or_else(|| self.mirror.iter().position(|known| known.uid == 0));
            self.mirror.remove(place.unwrap_or_else(|| panic!("{uid} vanishes twice")));
        }
    }

    /// The same flags have the same modification sequence in all sessions; other flags a different one.
    pub(super) async fn modseqs(&mut self) -> BTreeMap<u32, u64> {
        let answer = self.send("UID FETCH 1:* (MODSEQ)").await;
        let number = |line: &str, name: &str| {
            let digits = line.split_once(name)?.1.split([')', ' ']).next()?;
            digits.parse::<u64>().ok()
        };
        let of = |line: &String| Some((number(line, "UID ")? as u32, number(line, "MODSEQ (")?));
        answer.lines.iter().filter_map(of).collect()
    }
}

impl World {
    /// Messages changed by other sessions meanwhile are not changed, and reported.
    pub(super) async fn store_unchanged(&mut self, index: usize, by_uid: bool, uid: &str) {
        self.clients[index].send("NOOP").await;
        let modseqs = self.clients[index].modseqs().await;
        let Some((set, uids)) = self.some_messages(index, by_uid) else { return };
        let since = modseqs.values().nth(self.pick(modseqs.len())).copied().unwrap();
        let flags = self.some_flags();
        let list = flags.iter().cloned().collect::<Vec<_>>().join(" ");
        let client = &mut self.clients[index];
        let command = format!("{uid}STORE {set} (UNCHANGEDSINCE {since}) FLAGS.SILENT ({list})");
        let name = |uid: &u32| match by_uid {
            true => *uid,
            false => client.mirror.iter().position(|known| known.uid == *uid).unwrap() as u32 + 1,
        };
        let refused: Vec<u32> = uids.iter().filter(|uid| since < modseqs[*uid]).map(name).collect();
        let answer = client.send(&command).await;
        let reported = answer.tagged.split_once("[MODIFIED ").map(|(_, rest)| numbers(rest.split(']').next().unwrap()));
        assert_eq!(reported.unwrap_or_default(), refused, "{command}: {}", answer.tagged);
        let held = &mut self.models[client.selected].held;
        let taken = |known: &&mut Known| uids.contains(&known.uid) && modseqs[&known.uid] <= since;
        for known in client.mirror.iter_mut().filter(taken) {
            held.insert(known.uid, flags.clone());
            known.flags.clone_from(&flags);
        }
        let reported = answer.lines.iter().filter(|line| line.contains("MODSEQ (")).count();
        assert_eq!(
            reported,
            uids.len() - refused.len(),
            "each stored message is reported with MODSEQ: {:?}",
            answer.lines
        );
    }

    /// The client disconnects, others make changes, and its resynchronisation reports all of them.
    pub(super) async fn come_back(&mut self) {
        let at = self.clients[SYNCED].selected;
        self.clients[SYNCED].send("NOOP").await;
        let status = self.clients[SYNCED].send(&format!("STATUS {} (UIDVALIDITY HIGHESTMODSEQ)", BOXES[at])).await;
        let words: Vec<&str> = status.lines[0].split([' ', '(', ')']).collect();
        let value = |name: &str| words[words.iter().position(|word| *word == name).unwrap() + 1];
        let (validity, modseq) = (value("UIDVALIDITY"), value("HIGHESTMODSEQ"));
        let mut known: BTreeMap<u32, Flags> =
            self.clients[SYNCED].mirror.iter().map(|known| (known.uid, known.flags.clone())).collect();
        self.clients[SYNCED].send("UNSELECT").await;
        self.clients[SYNCED].selections += 1;
        for _ in 0..self.pick(6) {
            self.step(self.pick(SYNCED)).await;
        }
        let client = &mut self.clients[SYNCED];
        let command = format!("t SELECT {} (QRESYNC ({validity} {modseq}))\r\n", BOXES[at]);
        client.stream.write_all(command.as_bytes()).await.unwrap();
        let reported = read_until_idle(&mut client.stream).await;
        for line in reported.lines() {
            if let Some(uids) = line.strip_prefix("* VANISHED (EARLIER) ") {
                numbers(uids).iter().for_each(|uid| drop(known.remove(uid)));
            } else if line.contains(" FETCH (") {
                assert!(line.contains(" MODSEQ ("), "{line}");
                client.mirror = vec![Known::default()];
                client.learn(1, line);
                known.insert(client.mirror[0].uid, std::mem::take(&mut client.mirror[0].flags));
            }
        }
        assert_eq!(known, self.models[at].held, "{command}{reported}");
        client.mirror = known.into_iter().map(|(uid, flags)| Known { uid, flags }).collect();
    }
}
