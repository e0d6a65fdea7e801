//! Checks the webhooks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::super::webhook::{WEBHOOK_EVENTS, Webhook, WebhookTable};
use super::Check;

/// The form of a secret: Standard Webhooks, "Signature scheme".
const SECRET_PREFIX: &str = "whsec_";
/// The bytes that a key may have, as there.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

impl Check<'_> {
    /// The webhooks with a valid URL and secret, in their order. Reports the problems of all, and URLs that are
    /// declared twice, which stay in the list.
    pub(super) fn webhooks(&mut self, tables: &[WebhookTable]) -> Vec<Webhook> {
        let mut webhooks: Vec<Webhook> = Vec::new();
        for table in tables {
            let Some(webhook) = self.webhook(table) else { continue };
            if webhooks.iter().any(|other| other.url == webhook.url) {
                self.report(table.url.span(), format!("{} is declared twice; leave one out", webhook.url));
            }
            webhooks.push(webhook);
        }
        webhooks
    }

    /// One webhook, with its key decoded from base64. Reports all its problems; `None` if the secret or the URL is
    /// invalid, but not for an unknown event.
    fn webhook(&mut self, table: &WebhookTable) -> Option<Webhook> {
        for event in table.events.iter().filter(|event| !WEBHOOK_EVENTS.contains(&event.get_ref().as_str())) {
            let (name, known) = (event.get_ref().escape_debug(), WEBHOOK_EVENTS.join(", "));
            self.report(event.span(), format!("`{name}` is no event; choose from {known}"));
        }
        let secret = table.secret.get_ref().strip_prefix(SECRET_PREFIX);
        let secret = secret.and_then(|key| STANDARD.decode(key).ok()).filter(|key| KEY_BYTES.contains(&key.len()));
        if secret.is_none() {
            let text = "a secret is `whsec_` and 24 to 64 random bytes in base64: echo whsec_$(head -c 32 /dev/urandom | base64)";
            self.report(table.secret.span(), text.to_owned());
        }
        let url = Url::parse(table.url.get_ref()).ok();
        let url = url.filter(|url| url.scheme() == "http" && url.has_host() && url.username().is_empty());
        if url.is_none() {
            self.report(table.url.span(), "a webhook needs a URL such as http://127.0.0.1:9000/mail".to_owned());
        }
        let events = table.events.iter().map(|event| event.get_ref().clone()).collect();
        Some(Webhook { url: url?, events, secret: secret? })
    }
}
