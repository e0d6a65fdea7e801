use jiff::tz::TimeZone;

use super::*;
use crate::store::Transaction;

fn catalogue() -> Catalogue {
    Catalogue::new(Store::in_memory(&[SCHEMA]).unwrap())
}

/// A message to these recipients, whose journey is its number.
fn arrival(number: u64, recipients: &[&str], text: &str) -> Arrival {
    let recipients: Vec<Address> = recipients.iter().map(|text| text.parse().unwrap()).collect();
    let message = Message::new(Bytes::from(text.replace('\n', "\r\n")));
    Arrival {
        journey: JourneyId::from_random(number),
        reverse_path: Some("me@x.test".parse().unwrap()),
        addresses: recipients.iter().map(Address::key).collect(),
        recipients,
        login: None,
        message,
        arrived: Timestamp::from_second(1_000_000_000 + number as i64).unwrap(),
    }
}

async fn insert_all(catalogue: &Catalogue, arrivals: Vec<Arrival>) -> Vec<i64> {
    let job = move |transaction: &Transaction<'_>| {
        arrivals.iter().map(|arrival| insert(transaction, arrival)).collect::<Result<Vec<_>, Error>>()
    };
    catalogue.store.write(job).await.unwrap()
}

fn filter(words: &str) -> Filter {
    Filter { search: Search::parse(words, &TimeZone::UTC), ..Filter::default() }
}

async fn found(catalogue: &Catalogue, filter: &Filter) -> Vec<i64> {
    catalogue.numbers(filter, Window { below: i64::MAX, skip: 0, limit: 100 }).await.unwrap()
}

#[tokio::test]
async fn catalogue_counts_and_finds_what_is_read() {
    let catalogue = catalogue();
    let arrivals = (1..=3).map(|number| arrival(number, &["a@x.test"], "Subject: x\n\nx\n"));
    let read = insert_all(&catalogue, arrivals.collect()).await[1];
    let mark = move |transaction: &Transaction<'_>| set_state(transaction, read, false, std::iter::empty());
    catalogue.store.write(mark).await.unwrap();
    assert_eq!(catalogue.count(&Filter::default()).unwrap(), (3, 2));
    for (words, expected) in [("is:read", vec![2]), ("-is:unread", vec![2]), ("is:unread", vec![3, 1])] {
        assert_eq!(found(&catalogue, &filter(words)).await, expected, "{words}");
    }
}

#[tokio::test]
async fn search_finds_messages_by_every_word() {
    let catalogue = catalogue();
    let texts = [
        "From: Ann <ann@x.test>\nTo: Bob <bob@y.test>\nCc: c@y.test\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= one\n\
         Message-ID: <1@x.test>\n\nHello, \"World\"\nnext  line\n",
        "From: me@x.test\nReply-To: r@x.test\nSubject: two\nContent-Type: text/html\n\n<p>Bye <a href=\"http://l.test/a\">x</a>\n",
        "From: me@x.test\nSubject: three\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nbody\n--b\n\
         Content-Type: text/plain\nContent-Disposition: attachment; filename=report.txt\n\nx\n--b--\n",
    ];
    let arrivals = (1..).zip(texts).map(|(number, text)| arrival(number, &["hidden@y.test"], text));
    insert_all(&catalogue, arrivals.collect()).await;
    for (words, expected) in [
        ("hello", vec![1]),
        ("\"hello world next\"", vec![1]),
        ("\"hello next\"", vec![]),
        ("GRÜSSE", vec![]),
        ("grüße", vec![1]),
        ("subject:GRÜß", vec![1]),
        ("from:ann", vec![1]),
        ("to:bob@y.test", vec![1]),
        ("cc:c@y", vec![1]),
        ("bcc:hidden", vec![3, 2, 1]),
        ("reply-to:r@x.test", vec![2]),
        ("addressed:r@x.test", vec![2]),
        ("message-id:1@x.test", vec![1]),
        ("-from:ann", vec![3, 2]),
        ("me@x.test !two", vec![3, 1]),
        ("l.test/a", vec![2]),
        ("href", vec![]),
        ("ye", vec![2]),
        ("-ye", vec![3, 1]),
        ("report.txt", vec![3]),
        ("has:attachment", vec![3]),
        ("-has:attachments", vec![2, 1]),
        ("after:2001-09-09T01:46:42Z", vec![3, 2]),
        ("before:2001-09-09T01:46:42Z", vec![2, 1]),
        ("larger:1m", vec![]),
        ("smaller:1k", vec![3, 2, 1]),
        ("is:unread", vec![3, 2, 1]),
        ("is:tagged", vec![]),
        ("to:\"bob\" OR) NEAR( * {x}", vec![]),
    ] {
        assert_eq!(found(&catalogue, &filter(words)).await, expected, "{words}");
        let page = catalogue.page(&filter(words), Window { below: 3, skip: 0, limit: 1 }).await.unwrap();
        assert_eq!(page.matches, expected.len() as u64, "{words}");
        let below: Vec<_> = expected.iter().filter(|number| **number < 3).take(1).collect();
        assert!(page.entries.iter().map(|entry| &entry.number).eq(below), "{words}");
    }
}

#[tokio::test]
async fn entry_is_listed_before_it_is_indexed_and_under_its_recipients() {
    let catalogue = catalogue();
    let text = "From: me@x.test\nTo: a@y.test\nSubject: s\n\nbody\n";
    insert_all(&catalogue, vec![arrival(1, &["A@y.test", "b+x@y.test"], text), arrival(2, &["b@y.test"], text)]).await;
    // The same journey again changes nothing.
    insert_all(&catalogue, vec![arrival(1, &["c@y.test"], text)]).await;
    let page = catalogue.page(&Filter::default(), Window { below: i64::MAX, skip: 0, limit: 9 }).await.unwrap();
    assert_eq!((page.matches, page.unread, page.entries.len()), (2, 2, 2));
    assert_eq!(page.entries[0].id, JourneyId::from_random(2));
    let summary = catalogue.summary(&page.entries[1]).unwrap();
    assert_eq!((summary.subject.as_str(), summary.snippet.as_str()), ("s", "body"));
    assert_eq!(summary.bcc.iter().map(|found| found.address.as_str()).collect::<Vec<_>>(), ["b+x@y.test"]);
    for (key, expected) in [("a@y.test", vec![1]), ("b@y.test", vec![2, 1]), ("c@y.test", vec![])] {
        let filter = Filter { mailbox: Some(key.to_owned()), ..Filter::default() };
        assert_eq!(found(&catalogue, &filter).await, expected, "{key}");
        let both = Filter { search: Search::parse("subject:s body", &TimeZone::UTC), ..filter };
        assert_eq!(found(&catalogue, &both).await, expected, "{key}");
    }
}

#[tokio::test]
async fn entry_without_addresses_is_removed_with_its_content() {
    let catalogue = catalogue();
    insert_all(&catalogue, vec![arrival(1, &["a@y.test", "b@y.test"], "Subject: s\n\nbody\n")]).await;
    catalogue.index().await.unwrap();
    let forget = |address: &'static str| {
        let store = catalogue.store.clone();
        async move { store.write(move |transaction| forget_address(transaction, 1, address)).await.unwrap() }
    };
    assert_eq!(forget("a@y.test").await, None);
    assert_eq!(forget("b@y.test").await, Some(JourneyId::from_random(1)));
    assert_eq!(catalogue.count(&Filter::default()).unwrap(), (0, 0));
    assert!(found(&catalogue, &filter("body")).await.is_empty());
    assert_eq!(catalogue.store.refcount_errors().unwrap(), 0);
}

#[tokio::test]
async fn thread_is_what_names_each_other_and_replies_to_the_subject() {
    let catalogue = catalogue();
    let texts = [
        "Message-ID: <1@x>\nSubject: Hello\n\n",
        "Message-ID: <2@x>\nIn-Reply-To: <1@x>\nSubject: Re: Hello\n\n",
        "Message-ID: <3@x>\nReferences: <0@y> <2@x>\nSubject: another\n\n",
        "Message-ID: <4@x>\nReferences: <0@y>\nSubject: Re: another\n\n",
        "Message-ID: <5@x>\nSubject: Hello\n\n",
        "Message-ID: <6@x>\nSubject: Offer\n\n",
        "Message-ID: <7@x>\nSubject: RE: offer\n\n",
    ];
    insert_all(&catalogue, (1..).zip(texts).map(|(number, text)| arrival(number, &["a@y.test"], text)).collect()).await;
    for (number, expected) in
        [(1, vec![1, 2, 3, 4]), (4, vec![1, 2, 3, 4]), (5, vec![5]), (6, vec![6, 7]), (7, vec![6, 7])]
    {
        let entry = catalogue.entry(number).unwrap().unwrap();
        let thread = catalogue.thread(&entry).await.unwrap();
        assert_eq!(thread.iter().map(|entry| entry.number).collect::<Vec<_>>(), expected, "{number}");
    }
}
