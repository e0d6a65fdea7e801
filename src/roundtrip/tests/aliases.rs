//! Lists and forwards over several hosts: who sees which alias, and what is a loop.

use super::*;

/// A world where sina.test and 163.test have these aliases.
async fn world_with(sina: &str, other: &str) -> RunningWorld {
    let users =
        |user: &str, more: &str, aliases: &str| format!("users = [\"{user}\", {more}]\naliases = {{ {aliases} }}");
    let text = crate::world::JOURNEY
        .replace("users = [\"friend\"]", &users("friend", "\"ann\", \"bob\"", sina))
        .replace("users = [\"me\"]", &users("me", "\"carol\"", other));
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, true).unwrap();
    RunningWorld::start(env, PublicPorts::none()).await.unwrap()
}

/// The values of `Delivered-To` in each message of a mailbox, newest first.
async fn delivered_to(running: &RunningWorld, user: &str) -> Vec<String> {
    let names = |message: &Bytes| {
        let text = String::from_utf8_lossy(message).into_owned();
        text.lines().filter_map(|line| line.strip_prefix("Delivered-To: ")).collect::<Vec<_>>().join(" ")
    };
    maildrop(running, user).await.iter().map(names).collect()
}

/// RFC 9228 §4.
#[tokio::test(start_paused = true)]
async fn list_shows_each_recipient_the_aliases_that_led_to_it() {
    let aliases = r#"staff = ["ann", "bob", "carol@163.test"], ann = ["ann", "friend"], bob = ["bob", "|discard"]"#;
    let running = world_with(aliases, "").await;
    send(&running, "staff@sina.test", HOUR).await;
    for (user, names) in [
        ("ann@sina.test", "ann@sina.test staff@sina.test"),
        ("friend@sina.test", "ann@sina.test staff@sina.test"),
        ("bob@sina.test", "bob@sina.test staff@sina.test"),
        ("carol@163.test", "staff@sina.test"),
    ] {
        assert_eq!(delivered_to(&running, user).await, [names], "{user}");
    }
    let all = running.env.event_log.journeys(&JourneyFilter::default(), u64::MAX, 100).unwrap().journeys;
    assert!(!all.is_empty() && all.iter().all(|journey| journey.is_settled()));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn member_outside_that_forwards_to_another_member_is_no_loop() {
    let aliases = r#"staff = ["ann", "robert", "ext@163.test"], robert = "bob""#;
    let running = world_with(aliases, r#"ext = "robert@sina.test""#).await;
    send(&running, "staff@sina.test", HOUR).await;
    assert_eq!(delivered_to(&running, "ann@sina.test").await, ["staff@sina.test"]);
    let twice = delivered_to(&running, "bob@sina.test").await;
    let direct = "robert@sina.test staff@sina.test";
    assert_eq!(twice, [direct, "robert@sina.test ext@163.test staff@sina.test"]);
    assert!(maildrop(&running, "me@163.test").await.is_empty(), "nothing bounces");
    running.stop().await;
}

/// A loop ends where the message comes back to an alias, for the recipients behind that alias only.
#[tokio::test(start_paused = true)]
async fn list_that_a_member_forwards_to_fails_there_once_and_reaches_all_others() {
    let aliases = r#"staff = ["ann", "ext@163.test"]"#;
    let running = world_with(aliases, r#"ext = ["carol", "staff@sina.test"]"#).await;
    send(&running, "staff@sina.test", HOUR).await;
    assert_eq!(delivered_to(&running, "ann@sina.test").await, ["staff@sina.test"]);
    assert_eq!(delivered_to(&running, "carol@163.test").await, ["ext@163.test staff@sina.test"]);
    let bounces = maildrop(&running, "me@163.test").await;
    let [bounce] = &bounces[..] else { panic!("{} messages", bounces.len()) };
    let failed = DeliveryReport::read(bounce).unwrap().recipients;
    assert_eq!((failed[0].status, &failed[0].address), ((5, 4, 6), &"staff@sina.test".parse().ok()));
    assert_eq!(failed[0].remote_mta, None);
    running.stop().await;
}
