//! Random commands of several sessions, compared with mailboxes that are plain lists. RFC 9051 §2.3, §5.2, §7.4, §7.5.
//!
//! The model is the expected content of the mailboxes. A client's mirror contains only what was reported to it, and
//! must agree with the model after every command.

mod modseq;
mod notify;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use tokio::io::AsyncWriteExt;

use super::{Fixture, read_until_idle};
use crate::net::Stream;
use crate::world::Rng;
use modseq::Observed;
use notify::LISTENER;
use sync::SYNCED;

/// The mailboxes of the test.
const BOXES: [&str; 2] = ["INBOX", "Archive"];
const FLAGS: [&str; 5] = ["\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "$later"];
const CLIENTS: usize = 5;
/// What each client enables.
const ENABLED: [Option<&str>; CLIENTS] = [Some("CONDSTORE"), None, Some("CONDSTORE"), Some("QRESYNC"), Some("QRESYNC")];
const STEPS: usize = 120;

type Flags = BTreeSet<String>;

/// A mailbox as a plain list.
#[derive(Clone, Default, PartialEq)]
struct Model {
    last_uid: u32,
    held: BTreeMap<u32, Flags>,
}

impl Model {
    fn file(&mut self, flags: Flags) -> u32 {
        self.last_uid += 1;
        self.held.insert(self.last_uid, flags);
        self.last_uid
    }
}

/// What was reported to a client about one message.
#[derive(Clone, Default)]
struct Known {
    uid: u32,
    flags: Flags,
}

struct Client {
    stream: Stream,
    selected: usize,
    mirror: Vec<Known>,
    /// What was reported about mailboxes that are not selected.
    statuses: Vec<String>,
    has_condstore: bool,
    /// How often it has selected a mailbox.
    selections: usize,
    /// Messages that were `\\Recent` to it: mailbox, UID, selection.
    recents: BTreeSet<(usize, u32, usize)>,
}

/// The reply to a command.
struct Answer {
    lines: Vec<String>,
    tagged: String,
}

impl Client {
    async fn new(fixture: &Fixture, selected: usize, enabled: Option<&str>) -> Self {
        let stream = fixture.log_in().await;
        let mut client = Self {
            stream,
            selected,
            mirror: vec![],
            statuses: vec![],
            has_condstore: false,
            selections: 0,
            recents: BTreeSet::new(),
        };
        if let Some(enabled) = enabled {
            client.send(&format!("ENABLE {enabled}")).await;
            client.has_condstore = true;
        }
        client
    }

    async fn send(&mut self, command: &str) -> Answer {
        self.stream.write_all(format!("t {command}\r\n").as_bytes()).await.unwrap();
        let answer = self.read_until_idle(!command.starts_with("UID") && holds_expunges(command)).await;
        // RFC 7162 §3.2.4: what no FETCH asked for has UID and MODSEQ.
        let is_unsolicited = |line: &&String| line.contains(" FETCH (") && !command.contains("FETCH");
        for line in answer.lines.iter().filter(is_unsolicited).filter(|_| self.has_condstore) {
            assert!(line.contains("UID ") && line.contains("MODSEQ ("), "{command}: {line}");
        }
        assert!(answer.tagged.starts_with("t OK") || answer.tagged.starts_with("t NO"), "{command}: {}", answer.tagged);
        answer
    }

    /// Processes all output, and asks for messages that it does not know.
    async fn read_until_idle(&mut self, holds_expunges: bool) -> Answer {
        let output = read_until_idle(&mut self.stream).await;
        let mut lines: Vec<String> = Vec::new();
        for line in output.lines() {
            // The lines of a literal belong to the response.
            match lines.last_mut() {
                Some(last) if !["* ", "t ", "+ "].iter().any(|start| line.starts_with(start)) => {
                    last.push('\n');
                    last.push_str(line);
                }
                _ => lines.push(line.to_owned()),
            }
        }
        let tagged = lines.pop_if(|line| line.starts_with("t ")).unwrap_or_default();
        for line in &lines {
            self.note(line, holds_expunges);
        }
        if let Some(first) = self.mirror.iter().position(|known| known.uid == 0) {
            Box::pin(self.send(&format!("FETCH {}:* (UID FLAGS)", first + 1))).await;
        }
        Answer { lines, tagged }
    }

    fn note(&mut self, line: &str, holds_expunges: bool) {
        if let Some(uids) = line.strip_prefix("* VANISHED ") {
            assert!(!holds_expunges, "nothing vanishes under a command that counts");
            return self.note_vanished(&numbers(uids));
        }
        if line.starts_with("* STATUS ") {
            self.statuses.push(line.to_owned());
        }
        let mut words = line.splitn(4, ' ').skip(1);
        let Some(Ok(number)) = words.next().map(str::parse::<usize>) else { return };
        match words.next() {
            Some("EXISTS") => {
                assert!(self.mirror.len() <= number, "EXISTS never takes away: {line}");
                self.mirror.resize(number, Known::default());
            }
            Some("EXPUNGE") => {
                assert!(!holds_expunges, "no number shifts under a command that speaks of them");
                self.mirror.remove(number - 1);
            }
            Some("FETCH") => self.learn(number, words.next().unwrap()),
            _ => {}
        }
    }

    fn learn(&mut self, number: usize, items: &str) {
        let known = &mut self.mirror[number - 1];
        let after = |name: &str| items.split_once(name).map(|(_, rest)| rest);
        if let Some(uid) = after("UID ") {
            let uid = uid.split([' ', ')']).next().unwrap().parse().unwrap();
            assert!(known.uid == 0 || known.uid == uid, "a number means one message: {items}");
            known.uid = uid;
        }
        if let Some((flags, _)) = after("FLAGS (").and_then(|rest| rest.split_once(')')) {
            if known.uid != 0 && flags.contains("\\Recent") {
                self.recents.insert((self.selected, known.uid, self.selections));
            }
            known.flags =
                flags.split(' ').filter(|flag| !matches!(*flag, "" | "\\Recent")).map(str::to_owned).collect();
        }
    }

    async fn select(&mut self, selected: usize) {
        (self.selected, self.mirror) = (selected, vec![]);
        self.selections += 1;
        self.send(&format!("SELECT {}", BOXES[selected])).await;
    }
}

/// RFC 9051 §7.5.1.
fn holds_expunges(command: &str) -> bool {
    ["FETCH", "STORE", "SEARCH"].iter().any(|verb| command.starts_with(verb))
}

/// The mailboxes, their model and their clients.
struct World {
    fixture: Fixture,
    rng: Rng,
    models: [Model; 2],
    clients: Vec<Client>,
    /// The clients that made changes since the listener was last checked.
    acted: BTreeSet<usize>,
    /// One entry per mailbox.
    observed: [Observed; 2],
}

impl World {
    async fn new(seed: u64) -> Self {
        let fixture = Fixture::new().await;
        let mut clients = vec![];
        for enabled in ENABLED {
            let mut client = Client::new(&fixture, 0, enabled).await;
            if clients.len() == LISTENER {
                client.listen().await;
            }
            client.select(0).await;
            clients.push(client);
        }
        let observed = [Observed::new(&fixture, 0).await, Observed::new(&fixture, 1).await];
        Self { observed, fixture, rng: Rng::seeded(seed), models: Default::default(), clients, acted: BTreeSet::new() }
    }

    fn pick(&self, below: usize) -> usize {
        self.rng.below(below as u64) as usize
    }

    fn some_flags(&self) -> Flags {
        FLAGS.iter().filter(|_| self.pick(3) == 0).map(|flag| (*flag).to_owned()).collect()
    }

    /// A set of messages that a client knows: as sent, and the UIDs that it means.
    fn some_messages(&self, index: usize, by_uid: bool) -> Option<(String, Vec<u32>)> {
        let mirror = &self.clients[index].mirror;
        if mirror.is_empty() {
            return None;
        }
        let (mut words, mut places) = (vec![], BTreeSet::new());
        for _ in 0..=self.pick(3) {
            let (from, to) = (self.pick(mirror.len()), self.pick(mirror.len()));
            let name = |place: usize| if by_uid { mirror[place].uid as usize } else { place + 1 };
            let (word, meant) = match self.pick(4) {
                0 => ("*".to_owned(), mirror.len() - 1..=mirror.len() - 1),
                1 => (format!("{}:{}", name(from), name(to)), from.min(to)..=from.max(to)),
                _ => (name(from).to_string(), from..=from),
            };
            words.push(word);
            places.extend(meant);
        }
        Some((words.join(","), places.into_iter().map(|place| mirror[place].uid).collect()))
    }

    async fn step(&mut self, index: usize) {
        self.acted.insert(index);
        if index == LISTENER {
            // `*` changes its meaning with updates, whether they were requested or not.
            self.clients[index].read_until_idle(false).await;
        }
        let by_uid = self.pick(2) == 0 || index == LISTENER;
        let uid = if by_uid { "UID " } else { "" };
        let at = self.clients[index].selected;
        match self.pick(11) {
            0 | 1 => {
                self.fixture.deliver("Subject: new\r\n\r\nhello\r\n").await;
                self.models[0].file(Flags::new());
            }
            2 => self.append(index).await,
            4 if index == SYNCED && self.pick(2) == 0 => self.store_unchanged(index, by_uid, uid).await,
            3 | 4 => self.store(index, by_uid, uid).await,
            5 => self.copy(index, by_uid, uid).await,
            6 => self.expunge(index, by_uid).await,
            7 => self.search(index, by_uid, uid).await,
            9 => self.read(index, by_uid, uid).await,
            8 if self.pick(3) == 0 => {
                let close = self.pick(2) == 0;
                if close {
                    self.clients[index].send("CLOSE").await;
                    self.models[at].held.retain(|_, flags| !flags.contains("\\Deleted"));
                }
                self.clients[index].select(1 - at).await;
            }
            _ => drop(self.clients[index].send("NOOP").await),
        }
    }

    async fn append(&mut self, index: usize) {
        let (to, flags) = (self.pick(2), self.some_flags());
        let list = flags.iter().cloned().collect::<Vec<_>>().join(" ");
        let uid = self.models[to].file(flags);
        let answer = self.clients[index].send(&format!("APPEND {} ({list}) {{5+}}\r\nhello", BOXES[to])).await;
        assert!(answer.tagged.contains(&format!("[APPENDUID 1767225600 {uid}]")) || to == 1, "{}", answer.tagged);
        assert!(answer.tagged.contains(&format!(" {uid}]")), "{}", answer.tagged);
    }

    async fn store(&mut self, index: usize, by_uid: bool, uid: &str) {
        let Some((set, uids)) = self.some_messages(index, by_uid) else { return };
        let (mode, flags, silent) = (self.pick(3), self.some_flags(), self.pick(2) == 0);
        let list = flags.iter().cloned().collect::<Vec<_>>().join(" ");
        let (sign, silent_word) = (["", "+", "-"][mode], if silent { ".SILENT" } else { "" });
        let client = &mut self.clients[index];
        let answer = client.send(&format!("{uid}STORE {set} {sign}FLAGS{silent_word} ({list})")).await;
        let held = &mut self.models[client.selected].held;
        // RFC 2180 §4.2: what is left of the set is changed.
        let is_any_there = uids.iter().any(|uid| held.contains_key(uid));
        assert!(is_any_there == answer.tagged.starts_with("t OK"), "{}", answer.tagged);
        for uid in uids {
            let Some(known) = held.get_mut(&uid) else { continue };
            match mode {
                0 => known.clone_from(&flags),
                1 => known.extend(flags.iter().cloned()),
                _ => known.retain(|flag| !flags.contains(flag)),
            }
            // RFC 9051 §6.4.6: a silent STORE reports nothing.
            if silent && let Some(mirrored) = client.mirror.iter_mut().find(|known| known.uid == uid) {
                mirrored.flags.clone_from(known);
            }
        }
    }

    async fn copy(&mut self, index: usize, by_uid: bool, uid: &str) {
        let Some((set, uids)) = self.some_messages(index, by_uid) else { return };
        let (moves, from) = (self.pick(2) == 0, self.clients[index].selected);
        let verb = if moves { "MOVE" } else { "COPY" };
        let there: Vec<u32> = uids.into_iter().filter(|uid| self.models[from].held.contains_key(uid)).collect();
        let copies: Vec<u32> = there
            .iter()
            .map(|uid| {
                let flags = self.models[from].held[uid].clone();
                self.models[1 - from].file(flags)
            })
            .collect();
        if moves {
            self.models[from].held.retain(|uid, _| !there.contains(uid));
        }
        let answer = self.clients[index].send(&format!("{uid}{verb} {set} {}", BOXES[1 - from])).await;
        let output = answer.lines.iter().chain([&answer.tagged]).find_map(|line| line.split_once("[COPYUID "));
        let reported =
            output.map(|(_, rest)| rest.split(']').next().unwrap().split(' ').skip(1).map(numbers).collect());
        assert_eq!(!there.is_empty(), answer.tagged.starts_with("t OK"), "{verb} {set}: {}", answer.tagged);
        assert_eq!(reported.unwrap_or(vec![vec![]; 2]), [there, copies], "{verb} {set}: {}", answer.tagged);
    }

    /// Messages are read, which marks them as seen; those that another session removed are answered as far as it goes.
    async fn read(&mut self, index: usize, by_uid: bool, uid: &str) {
        // `*` may be a message that has arrived.
        let messages = self.some_messages(index, by_uid).filter(|(set, _)| !set.contains('*'));
        let Some((set, uids)) = messages else { return };
        let at = self.clients[index].selected;
        let there: Vec<u32> = uids.iter().copied().filter(|uid| self.models[at].held.contains_key(uid)).collect();
        let item = ["BODY[HEADER.FIELDS (SUBJECT)]", "(UID BODY[TEXT])", "(FLAGS BODY.PEEK[])"][self.pick(3)];
        let unseen = |held: &BTreeMap<u32, Flags>| there.iter().filter(|uid| !held[uid].contains("\\Seen")).count();
        let (held, is_read) = (&mut self.models[at].held, !item.contains("PEEK"));
        let seen_now = if is_read { unseen(held) } else { 0 };
        for uid in there.iter().filter(|_| is_read) {
            held.entry(*uid).or_default().insert("\\Seen".to_owned());
        }
        let answer = self.clients[index].send(&format!("{uid}FETCH {set} {item}")).await;
        // It may still have the text of the others.
        let is_answered = !there.is_empty() || item.contains("FLAGS");
        assert!(!is_answered || answer.tagged.starts_with("t OK"), "{item} of {uids:?}: {}", answer.tagged);
        let with_text: Vec<&String> = answer.lines.iter().filter(|line| line.contains("BODY[")).collect();
        let count = with_text.len();
        assert!(there.len() <= count && count <= uids.len(), "{item} of {uids:?}: {:?}", answer.lines);
        if is_read && self.clients[index].has_condstore {
            let changed = with_text.into_iter().filter(|line| line.contains("FLAGS (") && line.contains("\\Seen"));
            let changed: Vec<&String> = changed.collect();
            assert_eq!(changed.len(), seen_now, "{item} of {uids:?}: {:?}", answer.lines);
            assert!(changed.iter().all(|line| line.contains("UID ") && line.contains("MODSEQ (")), "{changed:?}");
        }
    }

    async fn expunge(&mut self, index: usize, by_uid: bool) {
        let only = self.some_messages(index, true).filter(|_| by_uid);
        let at = self.clients[index].selected;
        let goes = |uid: &u32| only.as_ref().is_none_or(|(_, uids)| uids.contains(uid));
        self.models[at].held.retain(|uid, flags| !(flags.contains("\\Deleted") && goes(uid)));
        let command = only.as_ref().map_or("EXPUNGE".to_owned(), |(set, _)| format!("UID EXPUNGE {set}"));
        self.clients[index].send(&command).await;
    }

    /// The command finds what is there when it comes, and what the client was not told is gone.
    async fn search(&mut self, index: usize, by_uid: bool, uid: &str) {
        let (flag, no) = (self.pick(4), if self.pick(2) == 0 { "UN" } else { "" });
        let client = &mut self.clients[index];
        let mut seen = self.models[client.selected].held.clone();
        for known in &client.mirror {
            seen.entry(known.uid).or_insert_with(|| known.flags.clone());
        }
        let found = seen.iter().enumerate().filter(|(_, (_, flags))| flags.contains(FLAGS[flag]) == no.is_empty());
        let wanted: Vec<u32> = found.map(|(at, (known, _))| if by_uid { *known } else { at as u32 + 1 }).collect();
        let key = FLAGS[flag].trim_start_matches('\\').to_uppercase();
        let answer = client.send(&format!("{uid}SEARCH {no}{key}")).await;
        let reported = answer.lines.iter().find_map(|line| line.strip_prefix("* SEARCH")).unwrap();
        assert_eq!(reported.split_whitespace().map(|uid| uid.parse().unwrap()).collect::<Vec<u32>>(), wanted);
    }

    /// One client is in IDLE while another makes changes: all are reported at once.
    async fn step_beside_idler(&mut self, idler: usize, index: usize) {
        self.clients[idler].stream.write_all(b"t IDLE\r\n").await.unwrap();
        self.clients[idler].read_idle().await;
        self.step(index).await;
        self.clients[idler].read_idle().await;
        self.check(idler, true);
        self.clients[idler].stream.write_all(b"DONE\r\n").await.unwrap();
        let answer = self.clients[idler].read_until_idle(false).await;
        assert!(answer.tagged.starts_with("t OK"), "{}", answer.tagged);
    }

    /// The mirror agrees with the model; with `all`, completely.
    fn check(&self, index: usize, all: bool) {
        let Client { mirror, selected, .. } = &self.clients[index];
        let held = &self.models[*selected].held;
        let reported = mirror.iter().filter(|known| all || held.contains_key(&known.uid));
        let reported: Vec<_> = reported.map(|known| (known.uid, &known.flags)).collect();
        // In IDLE it cannot ask for new messages.
        let update = |at: usize| reported.get(at).is_some_and(|(uid, _)| *uid == 0);
        let wanted: Vec<_> = held.iter().map(|(uid, flags)| (*uid, flags)).enumerate().collect();
        let blank = Flags::new();
        let wanted: Vec<_> =
            wanted.into_iter().map(|(at, known)| if update(at) { (0, &blank) } else { known }).collect();
        let reported: Vec<_> =
            reported.into_iter().map(|known| if known.0 == 0 { (0, &blank) } else { known }).collect();
        assert_eq!(reported, wanted, "client {index} in {}", BOXES[*selected]);
    }
}

/// RFC 3501 §2.3.2: a message is recent in one session.
fn check_recent(clients: &[Client]) {
    let mut sessions: BTreeMap<(usize, u32), (usize, usize)> = BTreeMap::new();
    for (index, client) in clients.iter().enumerate() {
        for (mailbox, uid, selection) in &client.recents {
            let first = *sessions.entry((*mailbox, *uid)).or_insert((index, *selection));
            assert_eq!(first, (index, *selection), "{uid} in {} is recent twice", BOXES[*mailbox]);
        }
    }
}

impl Client {
    async fn read_idle(&mut self) {
        for line in read_until_idle(&mut self.stream).await.lines() {
            self.note(line, false);
        }
    }
}

/// Parses `1:3,5`.
fn numbers(set: &str) -> Vec<u32> {
    let range = |range: &str| {
        let (from, to) = range.split_once(':').unwrap_or((range, range));
        from.parse::<u32>().unwrap()..=to.parse::<u32>().unwrap()
    };
    set.split(',').flat_map(range).collect()
}

#[tokio::test(start_paused = true)]
async fn sessions_with_random_commands_agree_with_the_model() {
    for seed in 0..40 {
        let mut world = World::new(seed).await;
        for _ in 0..STEPS {
            let (index, before) = (world.pick(CLIENTS), world.models.clone());
            let way = world.pick(6);
            match way {
                0 => world.step_beside_idler((index + 1) % CLIENTS, index).await,
                1 if index == SYNCED => world.come_back().await,
                _ => world.step(index).await,
            }
            world.check_listener(&before).await;
            for (observed, model) in world.observed.iter_mut().zip(&world.models) {
                observed.check(model, way != 1).await;
            }
            if !world.clients[index].mirror.is_empty() {
                world.clients[index].send("FETCH 1:* FLAGS").await;
                world.check(index, false);
            }
            world.clients[index].send("NOOP").await;
            world.check(index, true);
            check_recent(&world.clients);
            let at = world.clients[index].selected;
            world.observed[at].check_none_is_recent().await;
            assert_eq!(world.fixture.mailboxes.miscounts().unwrap(), []);
        }
    }
}
