//! Takes mail over LMTP and files it: the end of a message's way. RFC 2033.

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Delivered, Error, Mda};
use crate::journey::{Protocol, Step};
use crate::mail::{Address, Envelope, JourneyId, Letter, QueueId, Recipient, ReversePath, Stamp, return_path};
use crate::net::{self, Conn, Service, Stop, Stream};
use crate::smtp::server::{self, Event, Session};
use crate::smtp::whims::{Asked, Moment};
use crate::smtp::{BareLineEnds, Reply};
use crate::world::rfc5322_date;

/// The LMTP side of one MDA.
#[derive(Clone)]
pub struct Lmtp(Mda);

impl Lmtp {
    /// Takes mail for the mailboxes of this host.
    pub fn new(mda: Mda) -> Self {
        Self(mda)
    }
}

impl Service for Lmtp {
    async fn converse(self, stream: Stream, stop: Stop) -> Result<(), net::Error> {
        Box::new(Conversation::new(self.0, stream, stop)?).run().await
    }

    fn farewell(&self) -> &'static str {
        "421 4.7.0 Too many connections from your address, try again later\r\n"
    }
}

/// One connection.
struct Conversation {
    mda: Mda,
    conn: Conn<Session>,
    /// When the transaction under way began.
    began: Instant,
}

impl Conversation {
    /// # Errors
    /// A fault hangs up before the first word.
    fn new(mda: Mda, stream: Stream, stop: Stop) -> Result<Self, net::Error> {
        let (setup, peer) = (mda.setup(), stream.peer().ip());
        let config = server::Config {
            hostname: mda.fqdn().to_owned(),
            protocol: server::Protocol::Lmtp,
            size_max: setup.settings.size_max as u64,
            tls: match stream.tls() {
                Some(tls) => server::Tls::Active(tls),
                None if setup.identity.is_shown() => server::Tls::Offered,
                None => server::Tls::Absent,
            },
            // The MTA has judged the line ends; what it let through is kept as it is.
            bare_line_ends: BareLineEnds::Keep,
            ..server::Config::default()
        };
        let welcome = || Reply::plain(220, &format!("{} LMTP Postroad", mda.fqdn()));
        let asked = Asked { moment: Moment::Greeting, peer, sender: None, recipient: None, now: setup.clock.now() };
        let greeting = setup.whims.obey(asked)?.unwrap_or_else(welcome);
        let nonce = format!("{:016x}", setup.dice.draw());
        let session = Session::new(config, &greeting, nonce);
        Ok(Self { mda, conn: Conn::new(stream, session, stop), began: Instant::now() })
    }

    async fn run(mut self: Box<Self>) -> Result<(), net::Error> {
        while let Some(event) = self.conn.event().await? {
            match event {
                Event::Hello { .. } => {
                    let whim = self.whim(Moment::Hello, &None, None)?;
                    self.conn.machine.answer(whim.unwrap_or(Reply::plain(250, "")));
                }
                Event::Data => self.conn.machine.answer(Reply::plain(250, "")),
                Event::StartTls => {
                    self.conn.accept_tls(&self.mda.setup().identity).await?;
                    let description = self.conn.stream().tls().unwrap_or_default();
                    self.conn.machine.encrypted(description);
                }
                // Not offered here, so nobody is known.
                Event::Who(_) => self.conn.machine.secret(None),
                Event::Mail { envelope, .. } => {
                    self.began = Instant::now();
                    let whim = self.whim(Moment::Mail, &envelope.reverse_path, None)?;
                    self.conn.machine.answer(whim.unwrap_or(Reply::new(250, (2, 1, 0), "Sender OK")));
                }
                Event::Rcpt(recipient) => {
                    let from = self.conn.machine.envelope().and_then(|envelope| envelope.reverse_path.clone());
                    let whim = self.whim(Moment::Rcpt, &from, Some(&recipient.address))?;
                    let reply = whim.unwrap_or_else(|| self.rcpt(&recipient.address));
                    self.conn.machine.answer(reply);
                }
                Event::Message { envelope, letter } => {
                    let replies = self.deliver(&envelope, letter).await?;
                    self.conn.machine.answer_each(&replies);
                }
                Event::Verify(_) => self.conn.machine.answer(Reply::new(252, (2, 5, 0), "Cannot verify")),
            }
        }
        Ok(())
    }

    /// Every domain has a postmaster. RFC 5321 §4.5.1.
    fn rcpt(&self, address: &Address) -> Reply {
        let known = self.mda.setup().world.has_mailbox(address) || address.local().eq_ignore_ascii_case("postmaster");
        match known && self.mda.serves(address) {
            true => Reply::new(250, (2, 1, 5), "Recipient OK"),
            false => Reply::new(550, (5, 1, 1), &format!("<{address}> has no mailbox here")),
        }
    }

    /// Files the message for each recipient, all in one commit if it can be: one reply each, RFC 2033 §4.2.
    async fn deliver(&self, envelope: &Envelope, letter: Letter) -> Result<Vec<Reply>, net::Error> {
        let refusals = self.whims(Moment::Data, envelope)?;
        let id = self.journey(&letter).stay(self.mda.setup().dice.draw());
        let filing = envelope.recipients.iter().zip(refusals).map(|(recipient, refusal)| async {
            match refusal {
                Some(reply) => Err(reply),
                None => self.file(envelope, &recipient.address, &letter, id).await.map_err(no_room),
            }
        });
        let outcomes = join_all(filing).await;
        self.report(envelope, letter.len(), id, &outcomes);
        let words = self.whims(Moment::Stored, envelope)?;
        Ok(outcomes
            .into_iter()
            .zip(words)
            .map(|(outcome, word)| outcome.map_or_else(|no| no, |ok| word.unwrap_or(saved(&ok))))
            .collect())
    }

    /// What a fault makes of the moment; the error ends the conversation.
    fn whim(
        &self,
        moment: Moment,
        sender: &ReversePath,
        recipient: Option<&Address>,
    ) -> Result<Option<Reply>, net::Error> {
        let (setup, peer) = (self.mda.setup(), self.conn.stream().peer().ip());
        setup.whims.obey(Asked { moment, peer, sender: sender.as_ref(), recipient, now: setup.clock.now() })
    }

    /// The same for each recipient.
    fn whims(&self, moment: Moment, envelope: &Envelope) -> Result<Vec<Option<Reply>>, net::Error> {
        let recipients = envelope.recipients.iter();
        recipients.map(|recipient| self.whim(moment, &envelope.reverse_path, Some(&recipient.address))).collect()
    }

    async fn file(
        &self,
        envelope: &Envelope,
        recipient: &Address,
        letter: &Letter,
        id: QueueId,
    ) -> Result<Delivered, Error> {
        let letter = self.stamped(envelope, recipient, letter, id);
        self.mda.mailboxes().deliver(&recipient.key(), recipient.detail(), &letter).await
    }

    /// The letter with the last trace fields on top. RFC 5321 §4.4.
    fn stamped(&self, envelope: &Envelope, recipient: &Address, letter: &Letter, id: QueueId) -> Letter {
        let (session, stream, setup) = (&self.conn.machine, self.conn.stream(), self.mda.setup());
        let peer = stream.peer().ip();
        let stamp = Stamp {
            hello: session.hello().unwrap_or_default(),
            known: setup.world.host_at(peer).map(|host| host.fqdn.as_str()),
            peer,
            by: self.mda.fqdn(),
            with: &session.with_protocol(),
            id,
            tls: session.tls(),
            recipient: Some(recipient),
            date: &rfc5322_date(setup.clock.now()),
        };
        letter.stamped(&stamp.to_string()).stamped(&return_path(&envelope.reverse_path))
    }

    /// The journey that a host of this world gave the message, or a new one.
    fn journey(&self, letter: &Letter) -> JourneyId {
        let setup = self.mda.setup();
        let trusted = setup.world.host_at(self.conn.stream().peer().ip()).is_some();
        let known = if trusted { letter.journey() } else { None };
        known.unwrap_or_else(|| JourneyId::of(setup.dice.draw()))
    }

    fn report(&self, envelope: &Envelope, size: usize, id: QueueId, outcomes: &[Result<Delivered, Reply>]) {
        let recorder = &self.mda.setup().recorder;
        let filed = envelope.recipients.iter().zip(outcomes).filter_map(|(recipient, outcome)| {
            let Recipient { address, .. } = recipient;
            outcome.as_ref().ok().map(|delivered| (address, delivered))
        });
        let filed: Vec<(&Address, &Delivered)> = filed.collect();
        if filed.is_empty() {
            return;
        }
        let received = Step::Received {
            protocol: Protocol::Lmtp,
            from: format!("{} [{}]", self.conn.machine.hello().unwrap_or_default(), self.conn.stream().peer().ip()),
            reverse_path: envelope.reverse_path.clone(),
            recipients: filed.iter().map(|(address, _)| (*address).clone()).collect(),
            size,
            tls: self.conn.machine.tls().map(str::to_owned),
            user: None,
            took_ms: self.began.elapsed().as_secs_f64() * 1e3,
        };
        recorder.report(id.journey, Some(id), received, None);
        for (address, Delivered { mailbox, uid, .. }) in filed {
            let (recipient, account, mailbox) = (address.clone(), address.key(), mailbox.clone());
            recorder.report(id.journey, Some(id), Step::Delivered { recipient, account, mailbox, uid: *uid }, None);
        }
    }
}

fn saved(Delivered { mailbox, uid, .. }: &Delivered) -> Reply {
    Reply::new(250, (2, 1, 5), &format!("Saved as {mailbox} uid {uid}"))
}

/// What the MTA hears of one recipient that got no copy; the cause of a failure goes to the log.
fn no_room(error: Error) -> Reply {
    match error {
        Error::OverQuota { ever: true } => {
            Reply::new(452, (4, 2, 2), "The mailbox is full, try again when there is room")
        }
        // RFC 3463 §3.3: no time will make room for it.
        Error::OverQuota { ever: false } => {
            Reply::new(552, (5, 2, 2), "The message is larger than all that the mailbox may hold")
        }
        error => {
            tracing::error!(%error, "a message could not be filed");
            Reply::new(452, (4, 3, 1), "Cannot store the message now, try again later")
        }
    }
}
