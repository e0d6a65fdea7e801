//! A message that enters by the control interface: accepted in this process, as a submission is.

use std::net::{IpAddr, Ipv4Addr};

use tokio::time::Instant;

use super::IncomingMessage;
use crate::journey::Protocol;
use crate::mail::{Envelope, Message};
use crate::mta::{Mta, Receipt};
use crate::smtp::server::Origin;
use crate::store;

/// Makes a message durable in the queue of an MTA, the first host of the message, as if it had come by submission from
/// the loopback address, and lists it in the catalogue. A message without recipients is only listed.
///
/// # Errors
/// It is in a loop, or could not be stored.
pub async fn accept(mta: &Mta, envelope: Envelope, message: Message) -> Result<Receipt, store::Error> {
    let origin = Origin {
        protocol: Protocol::Submission,
        hello: "localhost",
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        host: None,
        with: "HTTP".to_owned(),
        tls: None,
        user: None,
        began: Instant::now(),
        session: None,
    };
    let refused = |why: &str| store::Error::Io(why.into());
    let incoming = IncomingMessage::new(mta, &origin, envelope, message).map_err(refused)?;
    incoming.enqueue(mta, &origin).await
}
