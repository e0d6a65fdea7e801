//! Sends with lettre: with its default settings and with STARTTLS if it is offered at the SMTP port, and with a login and the
//! world's authority at the submission port. Arguments: CA file, ports of SMTP and submission.

use std::error::Error;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().collect();
    let [_, ca, smtp, submission] = &arguments[..] else { return Err("with-lettre CA SMTP SUBMISSION".into()) };
    let (smtp, submission) = (smtp.parse()?, submission.parse()?);
    let message = Message::builder()
        .from("Me <me@163.test>".parse()?)
        .to("friend@sina.test".parse()?)
        .subject("by lettre: Grüße")
        .body("Hello, friend.\n".to_owned())?;

    let plain = SmtpTransport::builder_dangerous("127.0.0.1").port(smtp).build();
    assert!(plain.send(&message)?.is_positive());
    // It is not offered; the certificate would be refused.
    let opportunistic = Tls::Opportunistic(TlsParameters::new("localhost".to_owned())?);
    let transport = SmtpTransport::builder_dangerous("localhost").port(smtp).tls(opportunistic).build();
    assert!(transport.send(&message)?.is_positive());

    let authority = Certificate::from_pem(&std::fs::read(ca)?)?;
    let parameters = TlsParameters::builder("localhost".into()).add_root_certificate(authority).build()?;
    let transport = SmtpTransport::starttls_relay("localhost")?
        .port(submission)
        .tls(Tls::Required(parameters))
        .credentials(Credentials::new("me@163.test".to_owned(), "postroad".to_owned()))
        .build();
    assert!(transport.send(&message)?.is_positive());
    Ok(())
}
