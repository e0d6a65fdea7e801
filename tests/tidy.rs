//! The house rules that no compiler keeps. A broken one says where, and what to do.
//!
//! Each rule is a function from texts to complaints, so that the tests at the end can break it on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use postroad::cli::Cli;
use postroad::world::World;

/// Rooms, from the ground up: a room names only rooms on lower floors. ARCHITECTURE.md shows the same table.
const FLOORS: &[&[&str]] = &[
    &["mail", "sync"],
    &["world"],
    &["net", "store", "journey", "auth"],
    &["smtp", "imap", "pop3", "dns"],
    &["mua", "mta", "mda"],
    &["bench", "host"],
    &["control", "demo", "sim", "trip"],
    &["cli", "embed"],
];
/// A longer file has a second idea in it.
const LINES_MAX: usize = 600;
const UNFINISHED: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
/// Where paths of somebody's own machine begin.
const MACHINE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];
/// What people read beside the code.
const PAGES: [&str; 6] =
    ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "docs/rfc.md", "config/journey.toml", ".ci/run"];

#[test]
fn rooms_name_only_rooms_on_lower_floors() {
    assert_tidy(sources().iter().flat_map(|file| upward(&file.path, &file.text)));
}

#[test]
fn architecture_md_draws_the_same_floors() {
    assert_tidy(undrawn(&read("ARCHITECTURE.md")));
}

#[test]
fn every_file_has_a_header_a_bearable_length_and_nothing_unfinished() {
    assert_tidy(sources().iter().flat_map(|file| untidy(&file.path, &file.text)));
}

#[test]
fn nothing_names_a_path_of_somebodys_machine() {
    let pages = PAGES.map(|path| Source { path: path.to_owned(), text: read(path) });
    assert_tidy(sources().iter().chain(&pages).flat_map(|file| machine_paths(&file.path, &file.text)));
}

#[test]
fn docs_rfc_md_lists_every_rfc_that_is_cited_and_no_other() {
    let mut cited: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for file in sources() {
        for number in citations(&file.text) {
            cited.entry(number).or_default().insert(room(&file.path).unwrap_or("lib").to_owned());
        }
    }
    assert_tidy(misfiled(&cited, &read("docs/rfc.md")));
}

#[test]
fn readme_knows_the_ports_the_commands_and_the_world_file() {
    let readme = read("README.md");
    let ports = World::journey().ports.iter().map(|(service, port)| (service.to_string(), *port)).collect();
    let commands = Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect();
    assert_tidy(wrong_ports(&ports, &readme).into_iter().chain(wrong_commands(&commands, &readme)));
    let worlds: Vec<_> = fenced(&readme, "toml").collect();
    assert!(!worlds.is_empty(), "README.md: show a world file in a ```toml block");
    for text in worlds {
        World::parse("README.md", text).unwrap_or_else(|unsound| panic!("the world in README.md: {unsound}"));
    }
}

struct Source {
    /// From the root of the project, with `/`.
    path: String,
    text: String,
}

fn read(path: &str) -> String {
    let whole = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(whole).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of the program, in order.
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

fn assert_tidy(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The room of a file; `None` for `lib.rs` and `main.rs`.
fn room(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split_once('/').map(|(room, _)| room)
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Names of rooms that a file may not name.
fn upward(path: &str, text: &str) -> Vec<String> {
    let Some(own) = room(path) else {
        let is_root = matches!(path, "src/lib.rs" | "src/main.rs");
        return if is_root { vec![] } else { vec![format!("{path}: belongs in a room, a folder of src")] };
    };
    let Some(own_floor) = floor(own) else {
        return vec![format!("{path}: {own} has no floor; add it to FLOORS in tests/tidy.rs and to ARCHITECTURE.md")];
    };
    let code = without_comments(text);
    let judge = |(line, named): (usize, String)| match floor(&named) {
        _ if named == own => None,
        Some(floor) if floor < own_floor => None,
        Some(floor) => Some(format!(
            "{path}:{line}: {own} is on floor {own_floor} and names {named} on floor {floor}; move what both need to a \
             lower floor, or let an upper room join them"
        )),
        None => Some(format!("{path}:{line}: crate::{named} is no room; name the room that it lives in")),
    };
    let upward = named(&code).into_iter().filter_map(judge);
    let sideways = code.lines().zip(1..).filter(|(line, _)| leaves_by_super(path, line));
    let sideways = sideways.map(|(_, line)| format!("{path}:{line}: super:: leaves the room; write crate::ROOM"));
    upward.chain(sideways).collect()
}

/// The same lines without what follows `//`.
fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.find("//") {
        Some(at) if at == 0 || line[..at].ends_with(' ') => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The first names behind every `crate::`, with their lines.
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

/// Whether a `use` of this file, outside its inner modules, climbs to the root of the crate by `super::`.
fn leaves_by_super(path: &str, line: &str) -> bool {
    let folders = path.matches('/').count() - 1;
    let depth = if path.ends_with("/mod.rs") { folders } else { folders + 1 };
    let used = line.strip_prefix("pub use ").or(line.strip_prefix("use ")).unwrap_or_default();
    let climbs = used.split("::").take_while(|part| *part == "super").count();
    depth <= climbs
}

/// Rooms that the table in ARCHITECTURE.md, `| floor | rooms |`, has on another floor or not at all.
fn undrawn(page: &str) -> Vec<String> {
    let rows: Vec<_> = rows(page).filter(|cells| cells[0].parse::<usize>().is_ok()).collect();
    let expected = FLOORS.iter().enumerate().map(|(floor, rooms)| {
        let rooms: Vec<_> = rooms.iter().map(|room| format!("`{room}`")).collect();
        (floor.to_string(), rooms.join(", "))
    });
    let missing = expected.filter(|(floor, rooms)| !rows.iter().any(|row| row[0] == floor && row[1] == rooms));
    let missing =
        missing.map(|(floor, rooms)| format!("ARCHITECTURE.md: the row of floor {floor} is | {floor} | {rooms} |"));
    let extra = rows.len().saturating_sub(FLOORS.len());
    missing.chain((extra != 0).then(|| format!("ARCHITECTURE.md: {extra} floors too many"))).collect()
}

/// The cells of each row of each table of a page that has at least two.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let insides = page.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    insides.map(|inside| inside.split('|').map(str::trim).collect()).filter(|cells: &Vec<_>| 2 <= cells.len())
}

fn untidy(path: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let lines = text.lines().count();
    if LINES_MAX < lines {
        complaints.push(format!("{path}: {lines} lines; find the second idea in it and give it a file"));
    }
    // A file of tests is told about by the names of its tests.
    if !text.starts_with("//!") && !path.ends_with("/tests.rs") {
        complaints.push(format!("{path}: start with `//!` and say what lives here"));
    }
    for (line, number) in without_comments(text).lines().zip(1..) {
        for word in UNFINISHED {
            if line.match_indices(word).any(|(at, _)| !line[..at].ends_with(is_word)) {
                complaints.push(format!("{path}:{number}: {word} is for drafts; finish it or take it out"));
            }
        }
    }
    complaints
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let names_one = |line: &str| {
        let mut starts = MACHINE_PATHS.iter().flat_map(|start| line.match_indices(start));
        starts.any(|(at, _)| !line[..at].ends_with(|char| is_word(char) || matches!(char, '/' | '.' | '-' | '~' | '}')))
    };
    let lines = text.lines().zip(1..).filter(|(line, _)| names_one(line));
    lines.map(|(_, number)| format!("{path}:{number}: a path of one machine; make it relative")).collect()
}

/// The numbers in `RFC 1034`, and in `RFC 1034, 1035 and 2181`.
fn citations(text: &str) -> Vec<u32> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).count();
    let mut numbers = Vec::new();
    for (at, prefix) in text.match_indices("RFC ") {
        let mut rest = &text[at + prefix.len()..];
        let mut wanted = 1..=5;
        while wanted.contains(&digits(rest)) {
            let (number, behind) = rest.split_at(digits(rest));
            numbers.extend(number.parse::<u32>());
            let Some(next) = behind.strip_prefix(", ").or(behind.strip_prefix(" and ")) else { break };
            (rest, wanted) = (next, 4..=4);
        }
    }
    numbers
}

/// What is wrong in the table `| RFC | title | cited in | status |`.
fn misfiled(cited: &BTreeMap<u32, BTreeSet<String>>, page: &str) -> Vec<String> {
    let rows: Vec<_> = rows(page).filter_map(|cells| Some((cells[0].parse::<u32>().ok()?, cells))).collect();
    let mut complaints = Vec::new();
    for (number, rooms) in cited {
        let rooms = rooms.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match rows.iter().find(|(listed, _)| listed == number).map(|(_, cells)| cells.as_slice()) {
            None => {
                complaints.push(format!("docs/rfc.md: add | {number} | its title | {rooms} | how far we follow it |"))
            }
            Some([_, title, known, status]) if !title.is_empty() && !status.is_empty() => {
                if *known != rooms {
                    complaints.push(format!("docs/rfc.md: RFC {number} is cited in | {rooms} |"));
                }
            }
            Some(_) => complaints.push(format!("docs/rfc.md: RFC {number} needs four cells, none of them empty")),
        }
    }
    let gone = rows.iter().filter(|(number, _)| !cited.contains_key(number));
    complaints.extend(gone.map(|(number, _)| format!("docs/rfc.md: nothing cites RFC {number}; take its row out")));
    if !rows.is_sorted_by(|(one, _), (next, _)| one < next) {
        complaints.push("docs/rfc.md: keep the rows in the order of their numbers, each once".to_owned());
    }
    complaints
}

/// Rows `` | what it is | `service` | port | `` that differ from the world file.
fn wrong_ports(ports: &BTreeMap<String, u16>, readme: &str) -> Vec<String> {
    let rows: Vec<_> =
        rows(readme).filter(|cells| cells.last().is_some_and(|cell| cell.parse::<u16>().is_ok())).collect();
    let shown = |service: &str, port: &str| rows.iter().any(|cells| cells.contains(&service) && cells.contains(&port));
    let missing = ports.iter().filter(|(service, port)| !shown(&format!("`{service}`"), &port.to_string()));
    let missing = missing.map(|(service, port)| format!("README.md: the table of ports needs `{service}` at {port}"));
    let extra = rows.len().saturating_sub(ports.len());
    missing.chain((extra != 0).then(|| format!("README.md: {extra} ports that config/journey.toml has not"))).collect()
}

/// Commands that README.md does not show as `` `postroad NAME `` at the start of a table's row, or shows wrongly.
fn wrong_commands(commands: &BTreeSet<String>, readme: &str) -> Vec<String> {
    let first = |text: &str| text.split(|char| !is_word(char) && char != '-').next().unwrap_or_default().to_owned();
    let tabled: BTreeSet<_> =
        rows(readme).filter_map(|cells| Some(first(cells[0].strip_prefix("`postroad ")?))).collect();
    let in_text = readme.match_indices("`postroad ").map(|(at, start)| first(&readme[at + start.len()..]));
    let in_shell =
        fenced(readme, "sh").flat_map(str::lines).filter_map(|line| Some(first(line.strip_prefix("postroad ")?)));
    let spoken: BTreeSet<_> = in_text.chain(in_shell).collect();
    let missing = commands.difference(&tabled).map(|name| format!("README.md: the table of commands lacks {name}"));
    let extra = tabled.union(&spoken).filter(|name| !commands.contains(*name) && !name.is_empty());
    missing.chain(extra.map(|name| format!("README.md: there is no `postroad {name}`"))).collect()
}

/// The insides of the fenced blocks of one language.
fn fenced<'a>(page: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    let fence = format!("```{language}\n");
    let starts: Vec<_> = page.match_indices(&fence).map(|(at, fence)| at + fence.len()).collect();
    starts.into_iter().map(|at| page[at..].split("```").next().unwrap_or_default())
}

/// The rules, broken on purpose.
mod broken {
    use super::*;

    #[test]
    fn a_room_that_names_its_own_floor_or_a_higher_one_is_told() {
        let told = |text| upward("src/mta/route.rs", text).len();
        assert_eq!(told("use crate::mail::Letter;\nuse crate::{dns, net::{Conn, Error}, world};\n"), 0);
        assert_eq!(told("pub(crate) fn f() {}\nuse crate::mta::Mta;\nuse super::Mta;\n"), 0);
        assert_eq!(told("// crate::cli\n/// [`crate::cli`]\nfn f() {} // crate::cli\nmycrate::cli();\n"), 0);
        assert_eq!(told("use crate::mda::Mda;\n"), 1);
        assert_eq!(told("use crate::{\n    mail,\n    net::{self, mda},\n    host, cli as x,\n};\n"), 2);
        assert_eq!(told("fn f() -> crate::cli::Cli {}\n"), 1);
        assert_eq!(told("use crate::Anything;\nuse crate::*;\n"), 2);
        assert_eq!(upward("src/mta/a.rs", "\nuse crate::mda::X;")[0].split(" is").next(), Some("src/mta/a.rs:2: mta"));
    }

    #[test]
    fn a_room_without_a_floor_and_a_file_without_a_room_are_told() {
        assert_eq!(upward("src/attic/mod.rs", "").len(), 1);
        assert_eq!(upward("src/loose.rs", "").len(), 1);
        assert_eq!(upward("src/lib.rs", "use crate::cli::Cli;").len(), 0);
    }

    #[test]
    fn super_ends_at_the_door_of_the_room() {
        assert!(leaves_by_super("src/mta/mod.rs", "use super::mda::Mda;"));
        assert!(leaves_by_super("src/mta/route.rs", "pub use super::super::mda;"));
        assert!(!leaves_by_super("src/mta/route.rs", "use super::Mta;"));
        assert!(!leaves_by_super("src/mda/imap/fetch.rs", "use super::super::Mailboxes;"));
        assert!(!leaves_by_super("src/mta/mod.rs", "    use super::*;"));
    }

    #[test]
    fn floors_that_are_not_drawn_are_told() {
        let row = |(at, rooms): (usize, &&[&str])| format!("| {at} | `{}` | values |\n", rooms.join("`, `"));
        let page: String = FLOORS.iter().enumerate().map(row).collect();
        assert!(undrawn(&page).is_empty());
        assert_eq!(undrawn(&page.replace("`mta`, ", "")).len(), 1);
        assert_eq!(undrawn(&format!("{page}| 99 | `attic` |\n")).len(), 1);
    }

    #[test]
    fn long_headless_and_unfinished_files_are_told() {
        assert!(untidy("src/a/b.rs", "//! Here.\n\nfn undbg!() {} // todo!\n").is_empty());
        assert!(untidy("src/a/tests.rs", "use super::*;\n").is_empty());
        assert_eq!(untidy("src/a/b.rs", "use super::*;\n").len(), 1);
        assert_eq!(untidy("src/a/b.rs", &"//!\n".repeat(601)).len(), 1);
        for macro_call in ["todo!()", "(unimplemented!(\"x\"))", "    dbg!(x);"] {
            assert_eq!(untidy("src/a/b.rs", &format!("//! Here.\n{macro_call}\n")).len(), 1, "{macro_call}");
        }
    }

    #[test]
    fn paths_of_a_machine_are_told() {
        for start in MACHINE_PATHS {
            assert_eq!(machine_paths("README.md", &format!("one\nsee `{start}me/x`\n")).len(), 1, "{start}");
            assert_eq!(machine_paths("README.md", &format!("https://example.com{start}me ~{start}x")).len(), 0);
        }
    }

    #[test]
    fn citations_are_found_alone_and_in_rows() {
        let text =
            "RFC 5321 §4.5, RFC 1034, 1035 and 2181. RFC822.SIZE, RFC 822, 12 and RFCs; RFC 9110, 2048000 octets";
        assert_eq!(citations(text), [5321, 1034, 1035, 2181, 822, 9110]);
    }

    #[test]
    fn a_table_of_rfcs_that_lacks_repeats_or_invents_is_told() {
        let cited = BTreeMap::from([(821, BTreeSet::from(["mta".to_owned(), "smtp".to_owned()]))]);
        let told = |page: &str| misfiled(&cited, page).len();
        let row = "| 821 | Mail | mta, smtp | whole |\n";
        assert_eq!(told(row), 0);
        assert_eq!(told(""), 1);
        assert_eq!(told("| 821 | Mail | mta | whole |"), 1);
        assert_eq!(told("| 821 | Mail | mta, smtp | |"), 1);
        assert_eq!(told(&format!("{row}| 822 | Format | mail | whole |")), 1);
        assert_eq!(told(&format!("{row}{row}")), 1);
    }

    #[test]
    fn ports_and_commands_that_differ_are_told() {
        let ports = BTreeMap::from([("smtp".to_owned(), 1025)]);
        assert!(wrong_ports(&ports, "| in | `smtp` | 1025 |\n").is_empty());
        assert_eq!(wrong_ports(&ports, "| in | `smtp` | 25 |\n").len(), 1);
        assert_eq!(wrong_ports(&ports, "| in | `smtp` | 1025 |\n| in | `nntp` | 119 |\n").len(), 1);
        let commands = BTreeSet::from(["run".to_owned(), "serve".to_owned()]);
        let page = "| `postroad run` | x |\n| `postroad serve [WORLD]` | y |\n";
        assert!(wrong_commands(&commands, page).is_empty());
        assert_eq!(wrong_commands(&commands, &page.replace("| `postroad run` | x |\n", "")).len(), 1);
        assert_eq!(wrong_commands(&commands, &format!("{page}Try `postroad fly`.\n")).len(), 1);
        assert_eq!(wrong_commands(&commands, &format!("{page}```sh\npostroad fly --high\n```\n")).len(), 1);
    }
}
