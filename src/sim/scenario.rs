//! A sound scenario: every host and address in it exists.

use std::ops::Range as Place;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::file::{EpisodeTable, Expect, ProvidersTable, ReaderTable, ScenarioFile, TrafficTable};
use super::providers;
use crate::mail::Address;
use crate::mua::{Source, read_sources};
use crate::world::World;

/// Messages, recipients, episodes: more in one table is a mistake.
const COUNT_MAX: usize = 10_000_000;
/// Providers of a made world.
const PROVIDERS_MAX: usize = 5_000;
/// Monday, 2 November 2026, eight in the morning.
const START_SECONDS: i64 = 1_793_606_400;

/// What shall happen in a world, and what must come of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// How long it lasts at most.
    pub lasts: Duration,
    pub(super) start: Timestamp,
    pub(super) world: World,
    pub(super) disk: Duration,
    pub(super) traffic: Vec<Traffic>,
    pub(super) readers: Vec<Reader>,
    pub(super) episodes: Vec<EpisodeTable>,
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
    pub(super) who: Vec<Address>,
}

/// What is wrong with a scenario file, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct Unsound {
    place: String,
    text: String,
}

impl Scenario {
    /// Reads a file, and the world and messages that it names.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub fn read(path: &Path) -> Result<Self, Unsound> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Unsound { place: shown.clone(), text: format!("cannot be read: {error}") })?;
        Self::parse(&shown, &text)
    }

    /// Reads the text of a scenario; `path` is where it came from.
    ///
    /// # Errors
    /// The first thing in it that is wrong.
    pub fn parse(path: &str, text: &str) -> Result<Self, Unsound> {
        let check = Check { path, text };
        let file: ScenarioFile = toml::from_str(text)
            .map_err(|error| check.unsound(error.span().unwrap_or_default(), error.message().to_owned()))?;
        check.scenario(file)
    }

    /// How many messages are written in all.
    pub fn messages(&self) -> usize {
        self.traffic.iter().map(|traffic| traffic.table.count).sum()
    }
}

struct Check<'a> {
    path: &'a str,
    text: &'a str,
}

impl Check<'_> {
    fn unsound(&self, place: Place<usize>, text: String) -> Unsound {
        let line = 1 + self.text.bytes().take(place.start).filter(|byte| *byte == b'\n').count();
        Unsound { place: format!("{}:{line}", self.path), text: text.replace('\n', " ") }
    }

    fn beside(&self, path: &Path) -> PathBuf {
        Path::new(self.path).parent().map_or_else(|| path.to_owned(), |folder| folder.join(path))
    }

    fn scenario(&self, file: ScenarioFile) -> Result<Scenario, Unsound> {
        let world = self.world(&file)?;
        let mut traffic = Vec::new();
        for table in file.traffic {
            let place = table.span();
            traffic.push(self.traffic(&world, table.into_inner()).map_err(|text| self.unsound(place, text))?);
        }
        let mut readers = Vec::new();
        for table in file.readers {
            let place = table.span();
            readers.push(reader(&world, table.into_inner()).map_err(|text| self.unsound(place, text))?);
        }
        let mut episodes = Vec::new();
        for table in file.faults {
            let place = table.span();
            episodes.push(episode(&world, table.into_inner()).map_err(|text| self.unsound(place, text))?);
        }
        if let Some(unknown) = file.expect.queue.iter().find(|queue| !world.hosts.contains_key(queue.host.as_str())) {
            let place = self.text.find("[expect]").unwrap_or(0);
            return Err(self.unsound(place..place, format!("there is no host `{}` in this world", unknown.host)));
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
            episodes,
            expect: file.expect,
        })
    }

    fn world(&self, file: &ScenarioFile) -> Result<World, Unsound> {
        if let Some(table) = &file.providers {
            let ProvidersTable { count, users } = *table.get_ref();
            if !(1..=PROVIDERS_MAX).contains(&count) || !(1..=PROVIDERS_MAX).contains(&users) {
                let text = format!("count and users are from 1 to {PROVIDERS_MAX}");
                return Err(self.unsound(table.span(), text));
            }
            return World::parse("providers", &providers::text(count, users))
                .map_err(|error| self.unsound(table.span(), error.to_string()));
        }
        let Some(path) = &file.scenario.world else { return Ok(World::journey()) };
        let whole = self.beside(path.get_ref());
        let text = std::fs::read_to_string(&whole)
            .map_err(|error| self.unsound(path.span(), format!("cannot read {}: {error}", whole.display())))?;
        World::parse(&whole.display().to_string(), &text).map_err(|error| self.unsound(path.span(), error.to_string()))
    }

    fn traffic(&self, world: &World, table: TrafficTable) -> Result<Traffic, String> {
        let (from, to) = (addresses(world, &table.from)?, addresses(world, &table.to)?);
        if let Some(stranger) = from.iter().find(|from| !world.users.contains_key(&from.key())) {
            return Err(format!("{stranger} is no user of this world, and cannot send; name one of [domains]"));
        }
        if !(1..=to.len()).contains(&table.recipients) {
            return Err(format!("recipients = {} does not fit {} addresses in `to`", table.recipients, to.len()));
        }
        if COUNT_MAX < table.count || table.burst == 0 {
            return Err(format!("count is at most {COUNT_MAX}, and burst at least 1"));
        }
        let sources = match &table.mail {
            Some(path) => read_sources(&self.beside(path)).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        Ok(Traffic { table, from, to, sources })
    }
}

fn reader(world: &World, table: ReaderTable) -> Result<Reader, String> {
    let who = addresses(world, &table.who)?;
    if table.every.is_zero() {
        return Err("every must be longer than nothing, such as \"10min\"".to_owned());
    }
    if table.hours.is_some_and(|hours| hours.iter().any(|hour| !(0..=24).contains(hour))) {
        return Err("hours are two numbers from 0 to 24, such as [8, 22]".to_owned());
    }
    Ok(Reader { table, who })
}

fn episode(world: &World, table: EpisodeTable) -> Result<EpisodeTable, String> {
    table.fault.check(|host| world.hosts.contains_key(host))?;
    if COUNT_MAX < table.times || (1 < table.times && table.every.is_zero()) {
        return Err("a fault that comes back needs `every`, such as \"1h\"".to_owned());
    }
    Ok(table)
}

/// The addresses of `*`, `*@domain` and plain ones.
fn addresses(world: &World, patterns: &[String]) -> Result<Vec<Address>, String> {
    let mut found = Vec::new();
    for pattern in patterns {
        let people = || world.users.values().map(|user| &user.address).filter(|user| user.local() != "postmaster");
        let before = found.len();
        match pattern.strip_prefix('*') {
            Some("") => found.extend(people().cloned()),
            Some(rest) => {
                let domain = rest.strip_prefix('@').ok_or_else(|| format!("`{pattern}`: write * or *@domain"))?;
                found.extend(people().filter(|user| user.domain().eq_ignore_ascii_case(domain)).cloned());
            }
            None => found.push(pattern.parse().map_err(|_| format!("`{pattern}` is not an address"))?),
        }
        if found.len() == before {
            return Err(format!("`{pattern}` is nobody of this world"));
        }
    }
    if found.is_empty() { Err("name at least one address".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[scenario]\nname = \"x\"\nlasts = \"1h\"\n";

    #[test]
    fn a_mistake_is_one_line_that_says_where_and_what() {
        let traffic = "[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\n";
        for (text, expected) in [
            ("", "x.toml:1: missing field `scenario`"),
            (&format!("{HEAD}lats = 1\n"), "x.toml:4: unknown field `lats`, expected one of"),
            (&HEAD.replace("1h", "soon"), "x.toml:3: `soon` is not a duration such as"),
            (&format!("{HEAD}{traffic}every = 5\n"), "x.toml:7: invalid type: integer `5`, expected a string"),
            (&format!("{HEAD}{}", traffic.replace('*', "me")), "x.toml:4: `me` is not an address"),
            (&format!("{HEAD}{}", traffic.replace('*', "*@x")), "x.toml:4: `*@x` is nobody of this world"),
            (&format!("{HEAD}{}", traffic.replace('*', "a@b")), "x.toml:4: a@b is no user of this world"),
            (&format!("{HEAD}{traffic}recipients = 9\n"), "x.toml:4: recipients = 9 does not fit 2 addresses"),
            (
                &format!("{HEAD}[[faults]]\nfault = {{ kind = \"off\", host = \"mta\" }}\n"),
                "x.toml:4: there is no host `mta` in this world",
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
            let told = Scenario::parse("x.toml", text).unwrap_err().to_string();
            assert!(told.starts_with(expected) && !told.contains('\n'), "{told}");
        }
    }

    #[test]
    fn every_shipped_scenario_is_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(7 <= files.len(), "{files:?}");
        for path in files {
            assert!(0 < Scenario::read(&path).unwrap().messages());
        }
    }

    #[test]
    fn stars_are_users_without_postmasters() {
        let world = World::journey();
        let all = |patterns: &[&str]| {
            let patterns: Vec<_> = patterns.iter().map(|text| (*text).to_owned()).collect();
            addresses(&world, &patterns).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(all(&["*"]), Ok(vec!["friend@sina.test".to_owned(), "me@163.test".to_owned()]));
        assert_eq!(all(&["*@163.test", "x@y.test"]), Ok(vec!["me@163.test".to_owned(), "x@y.test".to_owned()]));
    }
}
