//! `THREAD`: groups messages into threads of replies. RFC 5256 §3 (THREAD).

use std::collections::BTreeMap;

use super::search::Search;
use super::sort::SortKeys;

/// `THREAD` and `UID THREAD`.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// The algorithm.
    pub by: Threading,
    /// The messages.
    pub search: Search,
}

/// A threading algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threading {
    /// By subject only; all others count as replies to the first.
    OrderedSubject,
    /// By references, and by subject where there are none.
    References,
}

/// A message to be threaded.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its sequence number or UID.
    pub number: u32,
    /// When it was sent, or else received.
    pub sent: i64,
    /// Its keys.
    pub sort_keys: SortKeys,
}

/// A message, or a placeholder for a missing one, with its replies as children.
#[derive(Debug, Default)]
struct Node {
    member: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

/// Trees of messages; the children of the root node are the threads.
#[derive(Debug)]
pub struct Threads {
    members: Vec<Member>,
    nodes: Vec<Node>,
}

const ROOT: usize = 0;

impl Threads {
    /// Threads the messages by this algorithm. Threads, and the replies in them, are sorted by date, then number; by
    /// subject, a thread has the date of its first message, and all others are replies to that.
    pub fn of(mut members: Vec<Member>, by: Threading) -> Self {
        members.sort_by_key(|member| (member.sent, member.number));
        let mut threads = Self { members, nodes: vec![Node::default()] };
        match by {
            Threading::OrderedSubject => threads.by_subject(),
            Threading::References => threads.by_references(),
        }
        threads
    }

    /// Emits numbers and parentheses in the order of the response; the caller adds the spaces. Each thread is in
    /// parentheses, and each reply if there are several to one message; an only reply follows without. A placeholder
    /// has no number. RFC 5256 §4 (thread-data).
    pub fn write(&self, mut emit: impl FnMut(ThreadToken)) {
        let mut stack: Vec<Step> = self.nodes[ROOT].children.iter().rev().map(|node| Step::Thread(*node)).collect();
        while let Some(step) = stack.pop() {
            match step {
                Step::Close => emit(ThreadToken::Close),
                Step::Thread(node) => {
                    emit(ThreadToken::Open);
                    stack.push(Step::Close);
                    stack.push(Step::Inside(node));
                }
                Step::Inside(node) => {
                    let Node { member, children, .. } = &self.nodes[node];
                    if let Some(member) = member {
                        emit(ThreadToken::Number(self.members[*member].number));
                    }
                    match children.as_slice() {
                        [only] => stack.push(Step::Inside(*only)),
                        many => stack.extend(many.iter().rev().map(|node| Step::Thread(*node))),
                    }
                }
            }
        }
    }

    /// Adds a node that has no parent yet, a placeholder if `member` is `None`, and returns its index.
    fn add(&mut self, member: Option<usize>) -> usize {
        self.nodes.push(Node { member, ..Node::default() });
        self.nodes.len() - 1
    }

    /// Makes `child` the last child of `parent`. The caller removes it from the children of an earlier parent.
    fn link(&mut self, parent: usize, child: usize) {
        self.nodes[child].parent = Some(parent);
        self.nodes[parent].children.push(child);
    }

    /// Removes a node from its parent, if it has one.
    fn unlink(&mut self, child: usize) {
        if let Some(parent) = self.nodes[child].parent.take() {
            self.nodes[parent].children.retain(|node| *node != child);
        }
    }

    /// Links each message to the first one with its subject, also with an empty one, or to the root if it is the first.
    /// RFC 5256 §3 (ORDEREDSUBJECT).
    fn by_subject(&mut self) {
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for member in 0..self.members.len() {
            let node = self.add(Some(member));
            let parent = *first.entry(self.members[member].sort_keys.subject.clone()).or_insert(node);
            self.link(if parent == node { ROOT } else { parent }, node);
        }
    }

    /// Builds the threads by RFC 5256 §3 (REFERENCES), steps 1 to 6: links by references, puts nodes without a parent
    /// below the root, prunes placeholders, sorts, merges threads of one subject, and sorts again.
    fn by_references(&mut self) {
        self.link_references();
        for node in 1..self.nodes.len() {
            if self.nodes[node].parent.is_none() {
                self.link(ROOT, node);
            }
        }
        self.prune();
        self.sort();
        self.merge_subjects();
        self.sort();
    }

    /// Step 1: adds a node for each message, and a placeholder for each referenced id that no message has, and links
    /// each to the reference before it, unless that closes a loop. Takes the references out of the members; the top
    /// nodes have no parent yet, not even the root.
    fn link_references(&mut self) {
        let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
        // Messages first, so that every id that exists maps to its message.
        let own: Vec<usize> = (0..self.members.len())
            .map(|member| {
                let node = self.add(Some(member));
                if let Some(id) = &self.members[member].sort_keys.id {
                    by_id.entry(id.clone()).or_insert(node);
                }
                node
            })
            .collect();
        for (member, node) in own.into_iter().enumerate() {
            let mut before = None;
            for id in std::mem::take(&mut self.members[member].sort_keys.references) {
                let next = by_id.get(&id).copied().unwrap_or_else(|| self.add(None));
                by_id.insert(id, next);
                if let Some(before) = before
                    && self.nodes[next].parent.is_none()
                    && !self.is_ancestor(next, before)
                {
                    self.link(before, next);
                }
                before = Some(next);
            }
            // Step 1.B: what its own references say replaces what those of others said, also if that leaves it without a
            // parent: it would be its own ancestor, or it has no references.
            if self.nodes[node].parent != before {
                self.unlink(node);
                if let Some(parent) = before.filter(|parent| !self.is_ancestor(node, *parent)) {
                    self.link(parent, node);
                }
            }
        }
    }

    /// Returns whether node `one` is node `other`, or an ancestor of that.
    fn is_ancestor(&self, one: usize, other: usize) -> bool {
        if one == other {
            return true;
        }
        // A node without children has no descendants.
        let mut at = if self.nodes[one].children.is_empty() { None } else { self.nodes[other].parent };
        while let Some(node) = at {
            if node == one {
                return true;
            }
            at = self.nodes[node].parent;
        }
        false
    }

    /// Returns all nodes below the root, without the root, parents before children.
    fn top_down(&self) -> Vec<usize> {
        let mut order = self.nodes[ROOT].children.clone();
        let mut at = 0;
        while at < order.len() {
            order.extend(&self.nodes[order[at]].children);
            at += 1;
        }
        order
    }

    /// Step 3: removes placeholders, except those directly below the root with two or more children; the children of a
    /// removed one move to its parent.
    fn prune(&mut self) {
        for node in self.top_down().into_iter().rev().chain([ROOT]) {
            for child in std::mem::take(&mut self.nodes[node].children) {
                let Node { member, children, .. } = &self.nodes[child];
                if member.is_some() || (node == ROOT && 1 < children.len()) {
                    self.nodes[node].children.push(child);
                } else {
                    let below = std::mem::take(&mut self.nodes[child].children);
                    below.into_iter().for_each(|child| self.link(node, child));
                }
            }
        }
    }

    /// Steps 4 and 6: sorts the children of every node, and of the root, by the date they were sent, then number; a
    /// placeholder counts as its first child.
    fn sort(&mut self) {
        let mut dates = vec![(i64::MAX, u32::MAX); self.nodes.len()];
        let order = self.top_down();
        for node in order.into_iter().rev().chain([ROOT]) {
            let mut children = std::mem::take(&mut self.nodes[node].children);
            children.sort_by_key(|child| dates[*child]);
            let first = children.first().map(|child| dates[*child]);
            let own = self.nodes[node].member.map(|member| (self.members[member].sent, self.members[member].number));
            dates[node] = own.or(first).unwrap_or((i64::MAX, u32::MAX));
            self.nodes[node].children = children;
        }
    }

    /// Returns the base subject of the thread below a top node, as in [`SortKeys::subject`], and whether its message is
    /// a reply: those of the node's message, or of its first child if it is a placeholder; `("", false)` if that is a
    /// placeholder, too.
    fn subject(&self, node: usize) -> (&str, bool) {
        let of = |node: usize| {
            self.nodes[node]
                .member
                .or_else(|| self.nodes[node].children.first().and_then(|child| self.nodes[*child].member))
        };
        of(node).map_or(("", false), |member| {
            let sort_keys = &self.members[member].sort_keys;
            (sort_keys.subject.as_str(), sort_keys.is_reply)
        })
    }

    /// Step 5: merges threads with the same subject, unless it is empty. The children of a placeholder move to another
    /// placeholder; a thread becomes a child of a placeholder, and a reply becomes a child of a message that is none;
    /// any other two get a new placeholder as their parent.
    fn merge_subjects(&mut self) {
        let roots = self.nodes[ROOT].children.clone();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for node in &roots {
            let (subject, is_reply) = self.subject(*node);
            let replaces = |known: usize| {
                let known_is_placeholder = self.nodes[known].member.is_none();
                let is_placeholder = self.nodes[*node].member.is_none();
                (is_placeholder && !known_is_placeholder)
                    || (!known_is_placeholder && self.subject(known).1 && !is_reply)
            };
            if !subject.is_empty() && first.get(subject).is_none_or(|known| replaces(*known)) {
                first.insert(subject.to_owned(), *node);
            }
        }
        for node in roots {
            let (subject, is_reply) = self.subject(node);
            let Some(known) = first.get(subject).copied().filter(|known| *known != node) else { continue };
            let subject = subject.to_owned();
            let (is_placeholder, known_is_placeholder) =
                (self.nodes[node].member.is_none(), self.nodes[known].member.is_none());
            if is_placeholder && known_is_placeholder {
                let children = std::mem::take(&mut self.nodes[node].children);
                children.into_iter().for_each(|child| self.link(known, child));
                self.nodes[node].parent = None;
            } else if known_is_placeholder || (is_reply && !self.subject(known).1) {
                self.link(known, node);
            } else {
                let placeholder = self.add(None);
                self.link(ROOT, placeholder);
                self.link(placeholder, known);
                self.link(placeholder, node);
                first.insert(subject, placeholder);
            }
        }
        let mut roots = std::mem::take(&mut self.nodes[ROOT].children);
        roots.retain(|node| self.nodes[*node].parent == Some(ROOT));
        self.nodes[ROOT].children = roots;
    }
}

enum Step {
    Thread(usize),
    Inside(usize),
    Close,
}

/// A token of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadToken {
    /// A thread begins.
    Open,
    /// A message.
    Number(u32),
    /// A thread ends.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::ResponseBuffer;

    /// `number date subject id references...`; a dot for no id.
    fn threads(by: Threading, members: &[&str]) -> String {
        let member = |line: &&str| {
            let words: Vec<&str> = line.split(' ').collect();
            let (subject, is_reply) = words[2].strip_prefix("re:").map_or((words[2], false), |rest| (rest, true));
            let sort_keys = SortKeys {
                subject: subject.trim_matches('.').to_owned(),
                is_reply,
                id: Some(words[3].to_owned()).filter(|id| id != "."),
                references: words[4..].iter().map(|id| (*id).to_owned()).collect(),
                ..SortKeys::default()
            };
            Member { number: words[0].parse().unwrap(), sent: words[1].parse().unwrap(), sort_keys }
        };
        let mut out = ResponseBuffer::default();
        out.thread(&Threads::of(members.iter().map(member).collect(), by));
        String::from_utf8(out.into_bytes()).unwrap().trim_end().trim_start_matches("* THREAD").trim_start().to_owned()
    }

    #[test]
    fn orderedsubject_groups_by_subject_and_sorts_by_date() {
        for (members, expected) in [
            (vec![], ""),
            (vec!["1 5 a .", "2 4 b .", "3 3 a ."], "(3 1)(2)"),
            (vec!["1 1 a .", "2 2 re:a .", "3 3 a .", "4 0 . ."], "(4)(1 (2)(3))"),
        ] {
            assert_eq!(threads(Threading::OrderedSubject, &members), expected, "{members:?}");
        }
    }

    #[test]
    fn references_builds_trees() {
        for (members, expected) in [
            (vec!["1 1 a x", "2 2 b y x", "3 3 c z x y"], "(1 2 3)"),
            (vec!["3 3 c z x y", "2 2 b y x", "1 1 a x"], "(1 2 3)"),
            (vec!["1 1 a x", "2 2 b y x", "3 3 c z x"], "(1 (2)(3))"),
            // The message in between is missing.
            (vec!["1 1 a x", "3 3 c z x y"], "(1 3)"),
            // The first message, to which two reply, is missing.
            (vec!["2 2 b y x", "3 3 c z x"], "((2)(3))"),
            (vec!["2 2 b y x"], "(2)"),
            // Messages that reply to each other, or to themselves.
            (vec!["1 1 a x y", "2 2 b y x"], "(2 1)"),
            (vec!["1 1 a x x"], "(1)"),
            // Two messages with the same id stay two.
            (vec!["1 1 a x", "2 2 b x", "3 3 c y x"], "(1 3)(2)"),
            // The references of the message itself win over those of others.
            (vec!["1 1 a x", "2 2 b y", "3 3 c z y", "4 4 d w x z"], "(1)(2 3 4)"),
            // The references of a later message end the link that those of an earlier one made, even if they would close a
            // loop.
            (vec!["1 1 p a", "2 2 q b a c", "3 3 r c b"], "(1)(3 2)"),
            (vec!["1 1 p a", "2 2 q b a c", "3 3 r c"], "(1)(3 2)"),
            // By subject where there are no references.
            (vec!["1 1 a x", "2 2 re:a y"], "(1 2)"),
            (vec!["1 2 a x", "2 1 re:a y"], "(1 2)"),
            (vec!["1 1 a x", "2 2 a y"], "((1)(2))"),
            (vec!["1 1 a x", "2 2 a y", "3 3 a z"], "((1)(2)(3))"),
            (vec!["1 1 . x", "2 2 . y"], "(1)(2)"),
            (vec!["1 1 a x p", "2 2 a y p", "3 3 a z q", "4 4 a w q"], "((1)(2)(3)(4))"),
            (vec!["1 1 a x p", "2 2 a y p", "3 3 a z"], "((1)(2)(3))"),
        ] {
            assert_eq!(threads(Threading::References, &members), expected, "{members:?}");
        }
    }

    #[test]
    fn references_handles_a_chain_of_any_length() {
        let member = |number: u32| {
            let id = |number: u32| format!("{number}@x");
            let sort_keys = SortKeys { id: Some(id(number)), references: vec![id(number - 1)], ..SortKeys::default() };
            Member { number, sent: -i64::from(number), sort_keys }
        };
        let mut numbers = 0;
        Threads::of((1..=50_000).map(member).collect(), Threading::References).write(|mark| {
            numbers += u32::from(matches!(mark, ThreadToken::Number(_)));
        });
        assert_eq!(numbers, 50_000);
    }
}
