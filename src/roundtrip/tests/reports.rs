//! Reports to the sender with NOTIFY, RET, ENVID and ORCPT. RFC 3461, RFC 3464.

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::mail::{Notify, Recipient, Return};
use crate::net::{self, Limits, ServerConfig, Service, Stop, Stream, serve};

/// A server without EHLO, which does not support DSN.
const OLD: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 98));
/// No host has this address.
const HOLE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 99));

#[derive(Clone)]
struct Old;

impl Service for Old {
    async fn serve_connection(self, stream: Stream, _stop: Stop) -> Result<(), net::Error> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 old.test\r\n").await?;
        let (mut line, mut is_message) = (String::new(), false);
        while 0 < stream.read_line(&mut line).await? {
            let command = line.trim_end().to_owned();
            line.clear();
            is_message &= command != ".";
            let reply = match command.split([' ', ':']).next().unwrap_or_default() {
                _ if is_message => continue,
                "EHLO" => "500 what?",
                "DATA" => {
                    is_message = true;
                    "354 go"
                }
                _ if command.contains('=') => "555 no parameters here",
                _ => "250 ok",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    fn too_many_reply(&self) -> &'static str {
        "421 \r\n"
    }
}

fn notify(words: &str) -> Option<Notify> {
    let has = |word| words.split(',').any(|known| known == word);
    (!words.is_empty()).then(|| Notify { success: has("SUCCESS"), failure: has("FAILURE"), delay: has("DELAY") })
}

/// The reports that the sender of such a message gets within a week.
async fn reports_for(envelope: Envelope) -> Vec<Bytes> {
    reports_for_subject("s", envelope).await
}

async fn reports_for_subject(subject: &str, envelope: Envelope) -> Vec<Bytes> {
    let routes =
        format!("routes = [{{ to = \"old.test\", via = \"{OLD}\" }}, {{ to = \"hole.test\", via = \"{HOLE}\" }}]\n");
    let text = crate::world::JOURNEY.replace("[mta.mta-163]\n", &format!("[mta.mta-163]\n{routes}"));
    let text = text.replace(
        "users = [\"friend\"]",
        "users = [\"friend\", \"ann\"]\naliases = { all = [\"friend\", \"ann\"], one = \"friend\", two = \"one\" }",
    );
    let text = format!("{text}\n[mua.x-old]\naddress = \"{OLD}\"\n[mua.x-hole]\naddress = \"{HOLE}\"\n");
    let start = "2026-11-01T08:00:00Z".parse().unwrap();
    let env = Environment::simulated(World::parse("w.toml", &text).unwrap(), 1, start, false).unwrap();
    let listener = env.net.interface(&[OLD]).listen(25).await.unwrap().remove(0);
    tokio::spawn(serve(ServerConfig { listener, tls: None, limits: Limits::default() }, Old, Stop::new()));
    let running = RunningWorld::start(env, PublicPorts::none()).await.unwrap();
    let mail = QueuedMessage {
        id: JourneyId::from_random(1).queue_id(1),
        envelope: Envelope { reverse_path: "me@163.test".parse().ok(), ..envelope },
        message: Message::new(format!("Subject: {subject}\r\n\r\nthe text\r\n").into()),
        arrived: running.env.clock.now(),
    };
    let _ = running.mtas["mta-163"].queue().put(mail).await.unwrap();
    sleep(HOUR * 24 * 7).await;
    assert!(running.mtas.values().all(|mta| mta.queue().is_empty()));
    let reported = maildrop(&running, "me@163.test").await;
    running.stop().await;
    reported
}

/// RFC 3461 §4.1, §5.2: reports come from the last host that supports DSN.
#[tokio::test(start_paused = true)]
async fn reports_follow_the_notify_parameter() {
    use Action::{Delayed, Delivered, Expanded, Failed, Relayed};
    for (to, asked, wanted) in [
        ("friend@sina.test", "", vec![]),
        ("friend@sina.test", "NEVER", vec![]),
        ("friend@sina.test", "FAILURE,DELAY", vec![]),
        ("friend@sina.test", "SUCCESS", vec![("mx.sina.test", Delivered, (2, 0, 0))]),
        ("all@sina.test", "SUCCESS,FAILURE", vec![("mx.sina.test", Expanded, (2, 0, 0))]),
        ("nobody@sina.test", "", vec![("relay.postroad.test", Failed, (5, 1, 1))]),
        ("nobody@sina.test", "FAILURE", vec![("relay.postroad.test", Failed, (5, 1, 1))]),
        ("nobody@sina.test", "SUCCESS,DELAY", vec![]),
        ("nobody@sina.test", "NEVER", vec![]),
        ("x@old.test", "", vec![]),
        ("x@old.test", "FAILURE", vec![]),
        ("x@old.test", "SUCCESS", vec![("mx.163.test", Relayed, (2, 0, 0))]),
        ("x@hole.test", "", vec![("mx.163.test", Delayed, (4, 4, 1)), ("mx.163.test", Failed, (5, 4, 7))]),
        ("x@hole.test", "DELAY", vec![("mx.163.test", Delayed, (4, 4, 1))]),
        ("x@hole.test", "SUCCESS,FAILURE", vec![("mx.163.test", Failed, (5, 4, 7))]),
        ("x@hole.test", "NEVER", vec![]),
    ] {
        let address: Address = to.parse().unwrap();
        let recipient = Recipient { notify: notify(asked), ..address.clone().into() };
        let reports = reports_for(Envelope { recipients: vec![recipient], ..Envelope::default() }).await;
        let reports: Vec<_> = reports.iter().map(|report| DeliveryReport::read(report).unwrap()).collect();
        let reported: Vec<_> = reports
            .iter()
            .map(|report| {
                let [about] = &report.recipients[..] else { panic!("{report:?}") };
                assert_eq!(about.address.as_ref(), Some(&address));
                (report.reporting_mta.as_deref().unwrap(), about.action, about.status)
            })
            .collect();
        assert_eq!(reported, wanted, "{to}, NOTIFY={asked}");
    }
}

/// RFC 3461 §5.2.7.1: the request goes on with the message, under the name that the sender knows.
#[tokio::test(start_paused = true)]
async fn report_about_an_alias_of_one_member_comes_from_its_delivery() {
    for alias in ["one@sina.test", "two@sina.test"] {
        let address: Address = alias.parse().unwrap();
        let recipient = Recipient { notify: notify("SUCCESS"), ..address.into() };
        let reports = reports_for(Envelope { recipients: vec![recipient], ..Envelope::default() }).await;
        let [report] = &reports[..] else { panic!("{alias}: {} reports", reports.len()) };
        let [about] = &DeliveryReport::read(report).unwrap().recipients[..] else { panic!("{report:?}") };
        assert_eq!((about.action, about.original.as_deref()), (Action::Delivered, Some(alias)));
        assert_eq!(about.address, "friend@sina.test".parse().ok());
    }
}

/// RFC 3461 §4.2 to §4.4, §6.2.
#[tokio::test(start_paused = true)]
async fn report_has_the_content_of_ret_and_the_senders_envid_and_orcpt() {
    for (ret, kind) in [
        (None, "text/rfc822-headers"),
        (Some(Return::Headers), "text/rfc822-headers"),
        (Some(Return::Full), "message/rfc822"),
    ] {
        let address: Address = "nobody@sina.test".parse().unwrap();
        let recipient = Recipient { orcpt: Some("rfc822;No+body@a.test".to_owned()), ..address.into() };
        let recipients = vec![recipient];
        let drop =
            reports_for(Envelope { recipients, ret, envid: Some("my name=1".to_owned()), ..Envelope::default() }).await;
        let [report] = &drop[..] else { panic!("{} messages", drop.len()) };
        let text = std::str::from_utf8(report).unwrap();
        assert!(text.contains(&format!("\r\nContent-Type: {kind}\r\n")), "{text}");
        assert!(text.contains("\r\nSubject: s\r\n"), "{text}");
        assert_eq!(text.contains("the text"), ret == Some(Return::Full), "{text}");
        let report = DeliveryReport::read(report).unwrap();
        assert_eq!(report.envid.as_deref(), Some("my name=1"));
        assert_eq!(report.recipients[0].original.as_deref(), Some("No+body@a.test"));
    }
}

/// RFC 6533 §3, §4.
#[tokio::test(start_paused = true)]
async fn report_about_an_smtputf8_message_is_in_utf8() {
    for (ret, kind) in [(Return::Headers, "message/global-headers"), (Return::Full, "message/global")] {
        let address: Address = "\u{4f8b}@sina.test".parse().unwrap();
        let recipients = vec![address.clone().into()];
        let envelope = Envelope { recipients, ret: Some(ret), smtputf8: true, ..Envelope::default() };
        let drop = reports_for_subject("\u{4f8b}", envelope).await;
        let [report] = &drop[..] else { panic!("{} messages", drop.len()) };
        let text = std::str::from_utf8(report).unwrap();
        for part in ["message/global-delivery-status", kind] {
            assert!(text.contains(&format!("\r\nContent-Type: {part}\r\n")), "{text}");
        }
        assert!(text.contains("\r\nFinal-Recipient: utf-8; \u{4f8b}@sina.test\r\n"), "{text}");
        assert_eq!(DeliveryReport::read(report).unwrap().recipients[0].address, Some(address));
    }
}
