//! How the modules of the page import each other.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::assets::{self, Asset};

/// What stands before the address of another module, and whether that is loaded with this one, or later.
const IMPORTS: [(&str, bool); 3] = [("from \"", true), ("import \"", true), ("import(\"", false)];

/// Returns the text of a file; empty if it is not UTF-8.
pub(super) fn text(file: &Asset) -> &'static str {
    std::str::from_utf8(file.bytes).unwrap_or_default()
}

/// Returns the paths of the modules that are loaded with the module `main`, itself among them, through all their
/// imports but `import()`.
pub(super) fn loaded_with(main: &str) -> BTreeSet<String> {
    closure(main, |module| module.loaded)
}

/// Returns the paths of the modules that are loaded with the module `main`, itself among them, or later by `import()`,
/// through all their imports.
pub(super) fn needed_by(main: &str) -> BTreeSet<String> {
    closure(main, |module| module.loaded.into_iter().chain(module.later).collect())
}

/// Returns the path of a module and of all modules that `others` leads to from it, over any number of steps, as far as
/// they are files of the page.
fn closure(main: &str, others: impl Fn(Module) -> BTreeSet<String>) -> BTreeSet<String> {
    let (mut found, mut wanted) = (BTreeSet::new(), BTreeSet::from([main.to_owned()]));
    while let Some(path) = wanted.pop_first() {
        let Some(file) = assets::find(&path) else { continue };
        let module = Module::read(&path, text(file));
        found.insert(path);
        wanted.extend(others(module).into_iter().filter(|other| !found.contains(other)));
    }
    found
}

/// Returns the name by which the modules of a report import the one at this path: a key of the import map, no address.
pub(super) fn import_name(path: &str) -> String {
    format!("postroad/{path}")
}

/// A module.
pub(super) struct Module {
    /// Its text, with names in the place of the addresses of others.
    pub(super) named: String,
    loaded: BTreeSet<String>,
    later: BTreeSet<String>,
}

impl Module {
    /// Reads which files of the page the module at this path, with this text, imports, and replaces their addresses in
    /// the text by their names.
    pub(super) fn read(path: &str, text: &str) -> Self {
        let (mut named, mut loaded, mut later) = (String::new(), BTreeSet::new(), BTreeSet::new());
        let mut rest = text;
        let next = |rest: &str| {
            let ends =
                IMPORTS.iter().filter_map(|(before, is_loaded)| Some((rest.find(before)? + before.len(), *is_loaded)));
            ends.min()
        };
        while let Some((end, is_loaded)) = next(rest) {
            let (before, after) = rest.split_at(end);
            named.push_str(before);
            rest = after;
            let Some((address, after)) = after.split_once('"') else { break };
            if let Some(other) = resolve(path, address).filter(|other| assets::find(other).is_some()) {
                // Writing to a String cannot fail.
                let _ = write!(named, "{}\"", import_name(&other));
                if is_loaded { &mut loaded } else { &mut later }.insert(other);
                rest = after;
            }
        }
        named.push_str(rest);
        Self { named, loaded, later }
    }
}

/// Returns the path of a module from its address in the module `from`; `None` unless the address is relative and leads
/// to a path below the root.
fn resolve(from: &str, address: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in address.strip_prefix("./").unwrap_or(address).split('/') {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    address.starts_with('.').then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_a_module_become_names() {
        let text = "import { x } from \"../vendor/lit.js\";\nimport \"./store.js\";\n/** @import { T } from \"./types\" */\n\
                    const far = import(\"./mail/mime.js\"); // from \"elsewhere\"";
        let Module { named, loaded, later } = Module::read("js/app.js", text);
        assert_eq!(
            named,
            "import { x } from \"postroad/vendor/lit.js\";\nimport \"postroad/js/store.js\";\n/** @import { T } from \"./types\" */\n\
             const far = import(\"postroad/js/mail/mime.js\"); // from \"elsewhere\""
        );
        assert_eq!(loaded.into_iter().collect::<Vec<_>>(), ["js/store.js", "vendor/lit.js"]);
        assert_eq!(later.into_iter().collect::<Vec<_>>(), ["js/mail/mime.js"]);
    }
}
