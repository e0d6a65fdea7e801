//! Random scenarios ("storms"): a small world with slow links and disks, and faults chosen by a seed. All faults end
//! after a while, so that every message must be delivered or bounced in the end.

use std::fmt::Write;

use super::{InvalidScenario, Scenario};
use crate::world::Rng;

/// The time at which all faults have ended, in seconds.
const FAULTS_END_SECONDS: u64 = 1200;

impl Scenario {
    /// The random scenario of a seed. The same seed gives the same scenario.
    ///
    /// # Errors
    /// The generated text is not a valid scenario, which is a defect of this function.
    pub fn storm(seed: u64) -> Result<Self, InvalidScenario> {
        Self::parse("storm", &text(&Rng::seeded(seed).fork("storm")))
    }
}

/// The scenario file that these random numbers give: 2 to 4 providers with 2 users each, 1 to 3 tables of traffic, and
/// 4 to 11 of faults.
fn text(rng: &Rng) -> String {
    let providers = 2 + rng.below(3);
    let mut text = format!(
        "[scenario]\nname = \"storm\"\nlasts = \"20 days\"\ndisk = \"{}ms\"\n[providers]\ncount = {providers}\nusers = 2\n",
        10 + rng.below(800)
    );
    for _ in 0..1 + rng.below(3) {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[traffic]]\nfrom = [\"*\"]\nto = [\"*\", \"nobody@p0.test\", \"x@nowhere.test\"]\nrecipients = {}\n\
             count = {}\nafter = \"{}s\"\nevery = \"{}s\"\npattern = \"poisson\"\nburst = {}\nsize = {}\n",
            1 + rng.below(3),
            3 + rng.below(10),
            rng.below(60),
            5 + rng.below(60),
            1 + rng.below(3),
            100 + rng.below(60_000)
        );
    }
    for _ in 0..4 + rng.below(8) {
        text.push_str(&fault(rng, providers));
    }
    text
}

/// One `[[faults]]` table: a random fault of a host or link of a world with this many providers, at random times.
fn fault(rng: &Rng, providers: u64) -> String {
    let mta = format!("mta-{}", rng.below(providers));
    let mda = format!("mda-{}", rng.below(providers));
    let other = match rng.below(3) {
        0 => format!("mda-{}", mta.trim_start_matches("mta-")),
        1 => "mua".to_owned(),
        _ => format!("mta-{}", rng.below(providers)),
    };
    // There is no link between a host and itself.
    let other = if other == mta { "mua".to_owned() } else { other };
    let direction = if rng.below(2) == 0 { "both" } else { "there" };
    let between = format!("between = [\"{mta}\", \"{other}\"], direction = \"{direction}\"");
    let bytes = rng.below(30_000);
    let reply = [
        "reply = \"450 4.2.0 later\", ",
        "reply = \"421 4.3.2 stopping\", ",
        "reply = \"452 4.3.1 no room\", ",
        "reply = \"550 5.7.1 not you\", ",
        "reply = \"554 5.6.0 not this\", ",
        "",
    ][rng.below(6) as usize];
    let at = ["mail", "rcpt", "data", "stored"][rng.below(4) as usize];
    // An error reply for a message that was stored would rightly be reported as a failure.
    let reply = if at == "stored" { "" } else { reply };
    let names = ["silent", "server-failure", "slow"][rng.below(3) as usize];
    let fault = match rng.below(14) {
        0..=3 => format!("kind = \"crash\", host = \"{mta}\""),
        4 => format!("kind = \"crash\", host = \"{mda}\""),
        5 => format!("kind = \"off\", host = \"{mta}\""),
        6 => {
            let kind = if rng.below(2) == 0 { "disk-full" } else { "disk-failing" };
            format!("kind = \"{kind}\", host = \"{}\"", if rng.below(2) == 0 { &mta } else { &mda })
        }
        7 => format!("kind = \"cut\", {between}"),
        8 => format!("kind = \"refuse\", {between}"),
        9 => format!("kind = \"stall\", {between}, after = {bytes}"),
        10 => format!("kind = \"reset\", {between}, after = {bytes}"),
        11 => {
            format!("kind = \"slow\", {between}, latency = \"{}ms\", jitter = \"900ms\", bandwidth = 9000", bytes / 20)
        }
        12 if names == "slow" => "kind = \"dns\", names = \"slow\", by = \"3s\"".to_owned(),
        12 => format!("kind = \"dns\", names = \"{names}\""),
        _ => format!("kind = \"reply\", host = \"{mta}\", at = \"{at}\", {reply}share = 0.5"),
    };
    let (after, lasts) = (rng.below(FAULTS_END_SECONDS / 4), 1 + rng.below(FAULTS_END_SECONDS / 8));
    let (times, every) = (1 + rng.below(8), lasts + 1 + rng.below(60));
    let times = times.min((FAULTS_END_SECONDS - after) / (every + lasts)).max(1);
    format!(
        "[[faults]]\nfault = {{ {fault} }}\nafter = \"{after}s\"\nlasts = \"{lasts}s\"\ntimes = {times}\n\
         every = \"{every}s\"\njitter = \"{}s\"\n",
        rng.below(20)
    )
}
