//! Which host serves a client: of one host, or of all hosts of a world behind one public port.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::HostName;

/// The hosts behind a listener. `H` is the role of a host, such as an MTA. Cheap to clone.
#[derive(Clone)]
pub struct HostGroup<H> {
    hosts: Arc<BTreeMap<HostName, H>>,
    greeting: H,
    is_public: bool,
}

impl<H: Clone> HostGroup<H> {
    /// One host behind its own port.
    pub fn single(name: HostName, host: H) -> Self {
        Self { hosts: Arc::new([(name, host.clone())].into()), greeting: host, is_public: false }
    }

    /// All these hosts behind a public port; `greeting` is one of them.
    pub fn public(hosts: Arc<BTreeMap<HostName, H>>, greeting: H) -> Self {
        Self { hosts, greeting, is_public: true }
    }

    /// The host whose name is in the greeting.
    pub fn greeting(&self) -> &H {
        &self.greeting
    }

    /// Whether this is a public port, for clients on this machine: others cannot eavesdrop on its connections.
    pub fn is_public(&self) -> bool {
        self.is_public
    }

    /// The first of the named hosts that is behind the listener; `None` if none is.
    pub fn find<'a>(&self, names: impl IntoIterator<Item = &'a HostName>) -> Option<&H> {
        names.into_iter().find_map(|name| self.hosts.get(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_group_finds_the_first_named_host_behind_its_listener() {
        let (a, b): (HostName, HostName) = ("a".into(), "b".into());
        let single = HostGroup::single(a.clone(), 'a');
        assert_eq!((single.find([&b, &a]), single.find([&b]), single.is_public()), (Some(&'a'), None, false));
        let all = HostGroup::public(Arc::new([(a.clone(), 'a'), (b.clone(), 'b')].into()), 'a');
        assert_eq!((all.find([&b, &a]), all.greeting(), all.is_public()), (Some(&'b'), &'a', true));
    }
}
