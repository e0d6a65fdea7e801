//! Scenarios that nobody wrote: a small world, slow links and disks, and a seed that decides what goes wrong when. All
//! faults end after a while; then everything must find its end.

use std::fmt::Write;

use super::{Scenario, Unsound};
use crate::world::Dice;

/// The faults of a storm end by then, in seconds.
const CALM: u64 = 1200;

impl Scenario {
    /// The storm of a seed: the same seed, the same scenario.
    ///
    /// # Errors
    /// The storm is not sound; this does not happen.
    pub fn storm(seed: u64) -> Result<Self, Unsound> {
        Self::parse("storm", &text(&Dice::seeded(seed).fork("storm")))
    }
}

fn text(dice: &Dice) -> String {
    let providers = 2 + dice.below(3);
    let mut text = format!(
        "[scenario]\nname = \"storm\"\nlasts = \"20 days\"\ndisk = \"{}ms\"\n[providers]\ncount = {providers}\nusers = 2\n",
        10 + dice.below(800)
    );
    for _ in 0..1 + dice.below(3) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[traffic]]\nfrom = [\"*\"]\nto = [\"*\", \"nobody@p0.test\", \"x@nowhere.test\"]\nrecipients = {}\n\
             count = {}\nafter = \"{}s\"\nevery = \"{}s\"\npattern = \"poisson\"\nburst = {}\nsize = {}\n",
            1 + dice.below(3),
            3 + dice.below(10),
            dice.below(60),
            5 + dice.below(60),
            1 + dice.below(3),
            100 + dice.below(20_000)
        );
    }
    for _ in 0..4 + dice.below(8) {
        text.push_str(&fault(dice, providers));
    }
    text
}

/// One entry of the timeline.
fn fault(dice: &Dice, providers: u64) -> String {
    let mta = format!("mta-{}", dice.below(providers));
    let mda = format!("mda-{}", dice.below(providers));
    let other = match dice.below(3) {
        0 => format!("mda-{}", mta.trim_start_matches("mta-")),
        1 => "mua".to_owned(),
        _ => format!("mta-{}", dice.below(providers)),
    };
    let way = if dice.below(2) == 0 { "both" } else { "there" };
    let between = format!("between = [\"{mta}\", \"{other}\"], way = \"{way}\"");
    let octets = dice.below(30_000);
    let reply = [
        "reply = \"450 4.2.0 later\", ",
        "reply = \"421 4.3.2 stopping\", ",
        "reply = \"452 4.3.1 no room\", ",
        "reply = \"550 5.7.1 not you\", ",
        "reply = \"554 5.6.0 not this\", ",
        "",
    ][dice.below(6) as usize];
    let at = ["mail", "rcpt", "data", "stored"][dice.below(4) as usize];
    // A reply that lies about what is stored is a fault that no sender survives.
    let reply = if at == "stored" { "" } else { reply };
    let names = ["silent", "server-failure", "slow"][dice.below(3) as usize];
    let fault = match dice.below(14) {
        0..=3 => format!("kind = \"crash\", host = \"{mta}\""),
        4 => format!("kind = \"crash\", host = \"{mda}\""),
        5 => format!("kind = \"off\", host = \"{mta}\""),
        6 => format!("kind = \"disk-full\", host = \"{}\"", if dice.below(2) == 0 { &mta } else { &mda }),
        7 => format!("kind = \"cut\", {between}"),
        8 => format!("kind = \"refuse\", {between}"),
        9 => format!("kind = \"stall\", {between}, after = {octets}"),
        10 => format!("kind = \"reset\", {between}, after = {octets}"),
        11 => {
            format!("kind = \"slow\", {between}, latency = \"{}ms\", jitter = \"900ms\", bandwidth = 9000", octets / 20)
        }
        12 => format!("kind = \"dns\", names = \"{names}\", by = \"3s\""),
        _ => format!("kind = \"reply\", host = \"{mta}\", at = \"{at}\", {reply}share = 0.5"),
    };
    let (after, lasts) = (dice.below(CALM / 4), 1 + dice.below(CALM / 8));
    let (times, every) = (1 + dice.below(8), lasts + 1 + dice.below(60));
    let times = times.min((CALM - after) / (every + lasts)).max(1);
    format!(
        "[[faults]]\nfault = {{ {fault} }}\nafter = \"{after}s\"\nlasts = \"{lasts}s\"\ntimes = {times}\n\
         every = \"{every}s\"\njitter = \"{}s\"\n",
        dice.below(20)
    )
}
