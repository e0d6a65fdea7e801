use super::*;

const HEAD: &str = "[scenario]\nname = \"x\"\nlasts = \"2 days\"\n";

fn run(text: &str, seed: u64) -> Report {
    play(&Scenario::parse("x.toml", text).unwrap(), seed, None, |_| {}).unwrap()
}

#[test]
fn a_quiet_scenario_delivers_everything_at_once() {
    let text = format!("{HEAD}[[traffic]]\nfrom = [\"*\"]\nto = [\"*\"]\ncount = 10\nevery = \"1min\"\n");
    let report = run(&text, 1);
    assert!(report.passed, "{}", report.text());
    assert_eq!((report.written, report.fates.delivered, report.fates.duplicates), (10, 10, 0));
    assert!(report.took.max < 60.0 && report.seconds < 3600.0, "{}", report.text());
}
