//! Tests of the source: modules depend on lower layers only, and README.md has the right ports and commands.
//!
//! Each check is a function from texts to error messages, so that the tests at the end can test the check itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use postroad::cli::Cli;
use postroad::world::World;

/// Modules by layer, lowest first. A module names only modules of lower layers. ARCHITECTURE.md has the same table.
const LAYERS: &[&[&str]] = &[
    &["mail", "sync"],
    &["world"],
    &["net", "store", "auth"],
    &["journey", "catalogue"],
    &["smtp", "imap", "pop3", "dns"],
    &["mua", "mta", "mda"],
    &["bench", "host", "page"],
    &["control", "demo", "sim", "roundtrip"],
    &["cli", "embed"],
];

/// Where SQLite may be named: in the store, and in the backend of each module that has tables. Another engine replaces
/// these.
const SQLITE: &[&str] = &[
    "src/store/",
    "src/journey/sqlite.rs",
    "src/catalogue/sqlite/",
    "src/mta/queue/sqlite",
    "src/mda/mailboxes/sqlite/",
];

#[test]
fn modules_name_only_modules_of_lower_layers() {
    assert_none(sources().iter().flat_map(|file| layer_errors(&file.path, &file.text)));
}

#[test]
fn sqlite_is_named_only_in_the_store_and_in_backends() {
    assert_none(sources().iter().flat_map(|file| sqlite_errors(&file.path, &file.text)));
}

#[test]
fn architecture_md_has_same_layers() {
    assert_none(table_errors(&read("ARCHITECTURE.md")));
}

#[test]
fn readme_has_ports_commands_and_valid_world() {
    let readme = read("README.md");
    let ports = World::journey().ports.iter().map(|(service, port)| (service.to_string(), *port)).collect();
    let commands = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_none(port_errors(&ports, &readme).into_iter().chain(command_errors(&commands, &readme)));
    let worlds: Vec<_> = fenced(&readme, "toml").collect();
    assert!(!worlds.is_empty(), "README.md: show a world file in a ```toml block");
    for text in worlds {
        World::parse("README.md", text).unwrap_or_else(|invalid| panic!("the world in README.md: {invalid}"));
    }
}

struct Source {
    /// Relative to the root of the project, with `/`.
    path: String,
    text: String,
}

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files of the program, sorted by path.
fn sources() -> Vec<Source> {
    let (mut folders, mut found) = (vec!["src".to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.ends_with(".rs") {
                found.push(Source { text: read(&path), path });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "no sources found");
    found
}

fn assert_none(errors: impl IntoIterator<Item = String>) {
    let errors: Vec<_> = errors.into_iter().collect();
    assert!(errors.is_empty(), "\n{}\n", errors.join("\n"));
}

/// The top-level module of a file; `None` for `lib.rs` and `main.rs`.
fn module(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(module, _)| module)
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// Modules that a file names although they are not on a lower layer.
fn layer_errors(path: &str, text: &str) -> Vec<String> {
    let Some(own) = module(path) else {
        let is_root = matches!(path, "src/lib.rs" | "src/main.rs");
        return if is_root { vec![] } else { vec![format!("{path}: must be in a module, a folder of src")] };
    };
    let Some(own_layer) = layer(own) else {
        return vec![format!("{path}: {own} has no layer; add it to LAYERS in tests/tidy.rs and to ARCHITECTURE.md")];
    };
    let code = without_comments(text);
    let check = |(line, named): (usize, String)| match layer(&named) {
        _ if named == own => None,
        Some(layer) if layer < own_layer => None,
        Some(layer) => Some(format!(
            "{path}:{line}: {own} (layer {own_layer}) names {named} (layer {layer}); move shared code to a lower layer, \
             or join both in a higher module"
        )),
        None => Some(format!("{path}:{line}: crate::{named} is not a module; use its full path")),
    };
    let upward = named(&code).into_iter().filter_map(check);
    let sideways = code.lines().zip(1..).filter(|(line, _)| leaves_by_super(path, line));
    let sideways = sideways.map(|(_, line)| format!("{path}:{line}: super:: leaves the module; write crate::MODULE"));
    upward.chain(sideways).collect()
}

/// Lines outside of [`SQLITE`] that name a type of SQLite's, or run SQL.
fn sqlite_errors(path: &str, text: &str) -> Vec<String> {
    if SQLITE.iter().any(|place| path.starts_with(place)) {
        return vec![];
    }
    let code = without_comments(text);
    let names = |line: &str| {
        ["rusqlite", ".prepare(", ".prepare_cached(", ".query_row(", "transaction.execute("]
            .iter()
            .any(|it| line.contains(it))
    };
    let found = code.lines().zip(1..).filter(|(line, _)| names(line));
    found.map(|(_, line)| format!("{path}:{line}: names SQLite; call a function of the module's backend")).collect()
}

/// The text without line comments.
fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.find("//") {
        Some(at) if at == 0 || line[..at].ends_with(' ') => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The first path segment after every `crate::`, with its line number.
fn named(code: &str) -> Vec<(usize, String)> {
    let starts = code.match_indices("crate::").filter(|(at, _)| !code[..*at].ends_with(is_word));
    let names = starts.flat_map(|(at, prefix)| {
        let line = 1 + code[..at].matches('\n').count();
        first_names(&code[at + prefix.len()..]).into_iter().map(move |name| (line, name))
    });
    names.collect()
}

/// `a::b` gives a; `{a, b::{c, d}, e}` gives a, b and e.
fn first_names(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|char| is_word(*char)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let (mut names, mut depth, mut is_first) = (Vec::new(), 0, true);
    for (at, char) in group.char_indices() {
        match char {
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            '{' => depth += 1,
            ',' if depth == 0 => is_first = true,
            _ if is_first && is_word(char) => {
                names.push(word(&group[at..]));
                is_first = false;
            }
            _ => {}
        }
    }
    names
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Whether a `use` of this file, outside inner modules, reaches the root of the crate by `super::`.
fn leaves_by_super(path: &str, line: &str) -> bool {
    let folders = path.matches('/').count() - 1;
    let depth = if path.ends_with("/mod.rs") { folders } else { folders + 1 };
    let used = line.strip_prefix("pub use ").or(line.strip_prefix("use ")).unwrap_or_default();
    let climbs = used.split("::").take_while(|part| *part == "super").count();
    depth <= climbs
}

/// Modules that the table in ARCHITECTURE.md, `| layer | modules |`, lacks or has on another layer.
fn table_errors(page: &str) -> Vec<String> {
    let rows: Vec<_> = rows(page).filter(|cells| cells[0].parse::<usize>().is_ok()).collect();
    let expected = LAYERS.iter().enumerate().map(|(layer, modules)| {
        let modules: Vec<_> = modules.iter().map(|module| format!("`{module}`")).collect();
        (layer.to_string(), modules.join(", "))
    });
    let missing = expected.filter(|(layer, modules)| !rows.iter().any(|row| row[0] == layer && row[1] == modules));
    let missing =
        missing.map(|(layer, modules)| format!("ARCHITECTURE.md: the row of layer {layer} is | {layer} | {modules} |"));
    let extra = rows.len().saturating_sub(LAYERS.len());
    missing.chain((extra != 0).then(|| format!("ARCHITECTURE.md: {extra} layers too many"))).collect()
}

/// The cells of all table rows of a page that have at least two.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let insides = page.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    insides.map(|inside| inside.split('|').map(str::trim).collect()).filter(|cells: &Vec<_>| 2 <= cells.len())
}

/// Differences between the world file and the rows `` | description | `service` | port | ``.
fn port_errors(ports: &BTreeMap<String, u16>, readme: &str) -> Vec<String> {
    let rows: Vec<_> =
        rows(readme).filter(|cells| cells.last().is_some_and(|cell| cell.parse::<u16>().is_ok())).collect();
    let shown = |service: &str, port: &str| rows.iter().any(|cells| cells.contains(&service) && cells.contains(&port));
    let missing = ports.iter().filter(|(service, port)| !shown(&format!("`{service}`"), &port.to_string()));
    let missing = missing.map(|(service, port)| format!("README.md: the table of ports needs `{service}` at {port}"));
    let extra = rows.len().saturating_sub(ports.len());
    missing.chain((extra != 0).then(|| format!("README.md: {extra} ports are not in config/journey.toml"))).collect()
}

/// Commands that README.md lacks as `` `postroad NAME `` at the start of a table row, and commands that do not exist.
fn command_errors(commands: &BTreeSet<String>, readme: &str) -> Vec<String> {
    let first = |text: &str| text.split(|char| !is_word(char) && char != '-').next().unwrap_or_default().to_owned();
    let listed: BTreeSet<_> =
        rows(readme).filter_map(|cells| Some(first(cells[0].strip_prefix("`postroad ")?))).collect();
    let in_text = readme.match_indices("`postroad ").map(|(at, start)| first(&readme[at + start.len()..]));
    let in_shell =
        fenced(readme, "sh").flat_map(str::lines).filter_map(|line| Some(first(line.strip_prefix("postroad ")?)));
    let mentioned: BTreeSet<_> = in_text.chain(in_shell).collect();
    let missing = commands.difference(&listed).map(|name| format!("README.md: the table of commands lacks {name}"));
    let extra = listed.union(&mentioned).filter(|name| !commands.contains(*name) && !name.is_empty());
    missing.chain(extra.map(|name| format!("README.md: there is no `postroad {name}`"))).collect()
}

/// The fenced code blocks of one language.
fn fenced<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<_> = page.match_indices(&fence).map(|(at, fence)| at + fence.len()).collect();
    starts.into_iter().map(|at| page[at..].split("```").next().unwrap_or_default())
}

/// Tests of the checks.
mod checks {
    use super::*;

    #[test]
    fn layer_errors_reports_modules_of_same_or_higher_layer() {
        let count = |text| layer_errors("src/mta/route.rs", text).len();
        assert_eq!(count("use crate::mail::Message;\nuse crate::{dns, net::{Conn, Error}, world};\n"), 0);
        assert_eq!(count("pub(crate) fn f() {}\nuse crate::mta::Mta;\nuse super::Mta;\n"), 0);
        assert_eq!(count("// crate::cli\n/// [`crate::cli`]\nfn f() {} // crate::cli\nmycrate::cli();\n"), 0);
        assert_eq!(count("use crate::mda::Mda;\n"), 1);
        assert_eq!(count("use crate::{\n    mail,\n    net::{self, mda},\n    host, cli as x,\n};\n"), 2);
        assert_eq!(count("fn f() -> crate::cli::Cli {}\n"), 1);
        assert_eq!(count("use crate::Anything;\nuse crate::*;\n"), 2);
        assert_eq!(
            layer_errors("src/mta/a.rs", "\nuse crate::mda::X;")[0].split(" (").next(),
            Some("src/mta/a.rs:2: mta")
        );
    }

    #[test]
    fn layer_errors_reports_unknown_modules_and_files_outside_modules() {
        assert_eq!(layer_errors("src/attic/mod.rs", "").len(), 1);
        assert_eq!(layer_errors("src/loose.rs", "").len(), 1);
        assert_eq!(layer_errors("src/lib.rs", "use crate::cli::Cli;").len(), 0);
    }

    #[test]
    fn sqlite_errors_reports_sql_outside_of_backends() {
        let text = "// rusqlite\nuse rusqlite::Row;\nfn f() { transaction.prepare_cached(sql)?; }\n";
        assert_eq!(sqlite_errors("src/mta/queue.rs", text).len(), 2);
        assert_eq!(sqlite_errors("src/mta/queue/sqlite.rs", text).len(), 0);
        assert_eq!(sqlite_errors("src/mda/mailboxes/sqlite/rows.rs", text).len(), 0);
    }

    #[test]
    fn leaves_by_super_reports_paths_out_of_the_module() {
        assert!(leaves_by_super("src/mta/mod.rs", "use super::mda::Mda;"));
        assert!(leaves_by_super("src/mta/route.rs", "pub use super::super::mda;"));
        assert!(!leaves_by_super("src/mta/route.rs", "use super::Mta;"));
        assert!(!leaves_by_super("src/mda/imap/fetch.rs", "use super::super::Mailboxes;"));
        assert!(!leaves_by_super("src/mta/mod.rs", "    use super::*;"));
    }

    #[test]
    fn table_errors_reports_missing_and_extra_layers() {
        let row = |(at, modules): (usize, &&[&str])| format!("| {at} | `{}` | values |\n", modules.join("`, `"));
        let page: String = LAYERS.iter().enumerate().map(row).collect();
        assert!(table_errors(&page).is_empty());
        assert_eq!(table_errors(&page.replace("`mta`, ", "")).len(), 1);
        assert_eq!(table_errors(&format!("{page}| 99 | `attic` |\n")).len(), 1);
    }

    #[test]
    fn port_errors_and_command_errors_report_differences() {
        let ports = BTreeMap::from([("smtp".to_owned(), 1025)]);
        assert!(port_errors(&ports, "| in | `smtp` | 1025 |\n").is_empty());
        assert_eq!(port_errors(&ports, "| in | `smtp` | 25 |\n").len(), 1);
        assert_eq!(port_errors(&ports, "| in | `smtp` | 1025 |\n| in | `nntp` | 119 |\n").len(), 1);
        let commands = BTreeSet::from(["run".to_owned(), "serve".to_owned()]);
        let page = "| `postroad run` | x |\n| `postroad serve [WORLD]` | y |\n";
        assert!(command_errors(&commands, page).is_empty());
        assert_eq!(command_errors(&commands, &page.replace("| `postroad run` | x |\n", "")).len(), 1);
        assert_eq!(command_errors(&commands, &format!("{page}Try `postroad fly`.\n")).len(), 1);
        assert_eq!(command_errors(&commands, &format!("{page}```sh\npostroad fly --high\n```\n")).len(), 1);
    }
}
