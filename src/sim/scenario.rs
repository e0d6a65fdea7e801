//! A checked scenario: every host and address in it exists.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::file::{Expect, FaultTable, ProvidersTable, ReaderTable, ScenarioFile, TrafficTable};
use super::providers;
use crate::host::OUTSIDE;
use crate::mail::Address;
use crate::mua::{Source, read_sources};
use crate::world::World;

/// The largest number of messages or repetitions in one table.
const MAX_COUNT: usize = 10_000_000;
/// The largest number of providers of a generated world, and of users of each.
const MAX_PROVIDERS: usize = 5_000;
/// The default start: Monday, 2 November 2026, 08:00 UTC.
const START_SECONDS: i64 = 1_793_606_400;

/// A world, its traffic and faults, and the expected results.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// Its description.
    pub about: String,
    /// Its longest duration.
    pub lasts: Duration,
    pub(super) start: Timestamp,
    pub(super) world: World,
    pub(super) disk: Duration,
    pub(super) traffic: Vec<Traffic>,
    pub(super) readers: Vec<Reader>,
    pub(super) faults: Vec<FaultTable>,
    pub(super) expect: Expect,
}

#[derive(Clone, Debug)]
pub(super) struct Traffic {
    pub(super) table: TrafficTable,
    pub(super) from: Vec<Address>,
    pub(super) to: Vec<Address>,
    pub(super) sources: Vec<Source>,
}

#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) table: ReaderTable,
    pub(super) users: Vec<Address>,
}

/// The first error in a scenario file, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct InvalidScenario {
    place: String,
    text: String,
}

impl Scenario {
    /// Reads a scenario file, and the world and messages that it names.
    ///
    /// # Errors
    /// The file cannot be read, or its content is invalid.
    pub fn read(path: &Path) -> Result<Self, InvalidScenario> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| InvalidScenario {
            place: shown.clone(),
            text: format!("cannot read the file: {error}"),
        })?;
        Self::parse(&shown, &text)
    }

    /// Parses the text of a scenario. `path` is the file that it comes from: errors name it, and other files are
    /// relative to its folder.
    ///
    /// # Errors
    /// The first error in the text.
    pub fn parse(path: &str, text: &str) -> Result<Self, InvalidScenario> {
        let check = Check { path, text };
        let file: ScenarioFile = toml::from_str(text)
            .map_err(|error| check.invalid(error.span().unwrap_or_default(), error.message().to_owned()))?;
        check.scenario(file)
    }

    /// The number of messages that all its traffic generates; one to several recipients counts once.
    pub fn messages(&self) -> usize {
        self.traffic.iter().map(|traffic| traffic.table.count).sum()
    }
}

struct Check<'a> {
    path: &'a str,
    text: &'a str,
}

impl Check<'_> {
    /// An error at the line of this range of bytes; line ends in its text become spaces.
    fn invalid(&self, place: Range<usize>, text: String) -> InvalidScenario {
        let line = 1 + self.text.bytes().take(place.start).filter(|byte| *byte == b'\n').count();
        InvalidScenario { place: format!("{}:{line}", self.path), text: text.replace('\n', " ") }
    }

    /// Resolves a path relative to the folder of the scenario file.
    fn resolve(&self, path: &Path) -> PathBuf {
        Path::new(self.path).parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    /// Checks the tables of a file, reads the world and the messages that they name, and makes the scenario of them.
    fn scenario(&self, file: ScenarioFile) -> Result<Scenario, InvalidScenario> {
        let world = self.world(&file)?;
        let mut traffic = Vec::new();
        for table in file.traffic {
            let place = table.span();
            traffic.push(self.traffic(&world, table.into_inner()).map_err(|text| self.invalid(place, text))?);
        }
        let mut readers = Vec::new();
        for table in file.readers {
            let place = table.span();
            readers.push(reader(&world, table.into_inner()).map_err(|text| self.invalid(place, text))?);
        }
        let mut faults = Vec::new();
        for table in file.faults {
            let place = table.span();
            faults.push(fault(&world, table.into_inner()).map_err(|text| self.invalid(place, text))?);
        }
        if let Some(unknown) = file.expect.queue.iter().find(|queue| !world.hosts.contains_key(queue.host.as_str())) {
            let place = self.text.find("[expect]").unwrap_or(0);
            return Err(self.invalid(place..place, format!("there is no host `{}` in this world", unknown.host)));
        }
        Ok(Scenario {
            name: file.scenario.name,
            about: file.scenario.about,
            lasts: file.scenario.lasts,
            start: file.scenario.start.unwrap_or(Timestamp::from_second(START_SECONDS).unwrap_or_default()),
            world,
            disk: file.scenario.disk,
            traffic,
            readers,
            faults,
            expect: file.expect,
        })
    }

    /// The world of `[providers]`, or of the file that the scenario names, or else the built-in one.
    fn world(&self, file: &ScenarioFile) -> Result<World, InvalidScenario> {
        if let Some(table) = &file.providers {
            let ProvidersTable { count, users } = *table.get_ref();
            if !(1..=MAX_PROVIDERS).contains(&count) || !(1..=MAX_PROVIDERS).contains(&users) {
                let text = format!("count and users are from 1 to {MAX_PROVIDERS}");
                return Err(self.invalid(table.span(), text));
            }
            return World::parse("providers", &providers::text(count, users))
                .map_err(|error| self.invalid(table.span(), error.to_string()));
        }
        let Some(path) = &file.scenario.world else { return Ok(World::journey()) };
        let file = self.resolve(path.get_ref());
        let text = std::fs::read_to_string(&file)
            .map_err(|error| self.invalid(path.span(), format!("cannot read {}: {error}", file.display())))?;
        World::parse(&file.display().to_string(), &text).map_err(|error| self.invalid(path.span(), error.to_string()))
    }

    /// Checks a table, expands its addresses and reads its messages. The error is a text without the line.
    fn traffic(&self, world: &World, table: TrafficTable) -> Result<Traffic, String> {
        let (from, to) = (addresses(world, &table.from)?, addresses(world, &table.to)?);
        if let Some(other) = from.iter().find(|from| !world.users.contains_key(&from.key())) {
            return Err(format!("{other} is not a user of this world and cannot send; use one of [domains]"));
        }
        if !(1..=to.len()).contains(&table.recipients) {
            return Err(format!("recipients = {} does not fit {} addresses in `to`", table.recipients, to.len()));
        }
        if MAX_COUNT < table.count || table.burst == 0 {
            return Err(format!("count is at most {MAX_COUNT}, and burst at least 1"));
        }
        let sources = match &table.mail {
            Some(path) => read_sources(&self.resolve(path)).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        Ok(Traffic { table, from, to, sources })
    }
}

/// Checks a table and expands its accounts. The error is a text without the line.
fn reader(world: &World, table: ReaderTable) -> Result<Reader, String> {
    let users = addresses(world, &table.who)?;
    if table.every.is_zero() {
        return Err("every must not be zero; write a time such as \"10min\"".to_owned());
    }
    if table.hours.is_some_and(|hours| hours.iter().any(|hour| !(0..=24).contains(hour))) {
        return Err("hours are two numbers from 0 to 24, such as [8, 22]".to_owned());
    }
    Ok(Reader { table, users })
}

/// Returns the table as it is, if it fits the world and its times are possible. The error is a text without the line.
fn fault(world: &World, table: FaultTable) -> Result<FaultTable, String> {
    table.fault.check(world)?;
    if table.fault.ends().is_some_and(|ends| ends.iter().any(|end| end == OUTSIDE)) {
        return Err(format!("a scenario has no public ports, so nothing is `{OUTSIDE}`; name the MUA instead"));
    }
    if MAX_COUNT < table.times || (1 < table.times && table.every.is_zero()) {
        return Err("a fault with `times` needs `every`, such as \"1h\"".to_owned());
    }
    Ok(table)
}

/// Expands `*` and `*@domain` to users other than postmasters, and parses other addresses. An error if one of them, or
/// the list, has no address.
fn addresses(world: &World, patterns: &[String]) -> Result<Vec<Address>, String> {
    let mut found = Vec::new();
    for pattern in patterns {
        let users = || world.users.values().map(|user| &user.address).filter(|user| user.local() != "postmaster");
        let before = found.len();
        match pattern.strip_prefix('*') {
            Some("") => found.extend(users().cloned()),
            Some(rest) => {
                let domain = rest.strip_prefix('@').ok_or_else(|| format!("`{pattern}`: write * or *@domain"))?;
                found.extend(users().filter(|user| user.domain().eq_ignore_ascii_case(domain)).cloned());
            }
            None => found.push(pattern.parse().map_err(|_| format!("`{pattern}` is not an address"))?),
        }
        if found.len() == before {
            return Err(format!("`{pattern}` matches no user of this world"));
        }
    }
    if found.is_empty() { Err("name at least one address".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[scenario]\nname = \"x\"\nlasts = \"1h\"\n";

    #[test]
    fn parse_of_invalid_scenario_reports_one_line_with_place_and_cause() {
        let traffic = "[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\n";
        for (text, expected) in [
            ("", "x.toml:1: missing field `scenario`"),
            (&format!("{HEAD}lats = 1\n"), "x.toml:4: unknown field `lats`, expected one of"),
            (&HEAD.replace("1h", "soon"), "x.toml:3: `soon` is not a duration such as"),
            (&format!("{HEAD}{traffic}every = 5\n"), "x.toml:7: invalid type: integer `5`, expected a string"),
            (&format!("{HEAD}{}", traffic.replace('*', "me")), "x.toml:4: `me` is not an address"),
            (&format!("{HEAD}{}", traffic.replace('*', "*@x")), "x.toml:4: `*@x` matches no user of this world"),
            (&format!("{HEAD}{}", traffic.replace('*', "a@b")), "x.toml:4: a@b is not a user of this world"),
            (&format!("{HEAD}{traffic}recipients = 9\n"), "x.toml:4: recipients = 9 does not fit 2 addresses"),
            (
                &format!("{HEAD}[[faults]]\nfault = {{ kind = \"off\", host = \"mta\" }}\n"),
                "x.toml:4: there is no host `mta` in this world",
            ),
            (
                &format!("{HEAD}[[faults]]\nfault = {{ kind = \"cut\", between = [\"outside\", \"mta-163\"] }}\n"),
                "x.toml:4: a scenario has no public ports, so nothing is `outside`; name the MUA instead",
            ),
            (
                &format!("{HEAD}[[faults]]\nfault = {{ kind = \"off\", host = \"mua\" }}\n"),
                "x.toml:4: mua is a MUA, which runs nothing",
            ),
            (
                &format!("{HEAD}[[faults]]\nfault = {{ kind = \"rain\" }}\n"),
                "x.toml:5: unknown variant `rain`, expected one of `off`",
            ),
            (
                &format!("{HEAD}[expect]\nbounced = \"no\"\n"),
                "x.toml:5: expected a number, or { at_least = 1, at_most = 5 }",
            ),
            (&HEAD.replace("[scenario]", "[scenario]\nworld = \"no.toml\""), "x.toml:2: cannot read no.toml"),
        ] {
            let error = Scenario::parse("x.toml", text).unwrap_err().to_string();
            assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn shipped_scenarios_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(7 <= files.len(), "{files:?}");
        for path in files {
            assert!(0 < Scenario::read(&path).unwrap().messages());
        }
    }

    #[test]
    fn addresses_with_star_are_users_without_postmasters() {
        let world = World::journey();
        let all = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|text| (*text).to_owned()).collect();
            addresses(&world, &patterns).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(all(&["*"]), Ok(vec!["friend@sina.test".to_owned(), "me@163.test".to_owned()]));
        assert_eq!(all(&["*@163.test", "x@y.test"]), Ok(vec!["me@163.test".to_owned(), "x@y.test".to_owned()]));
    }
}
