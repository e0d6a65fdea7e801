//! The JSON of this interface. Names are Mailpit's; what is ours stands below.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Answer;
use super::extract::{Invitation, Unsubscribe};
use crate::catalogue::{Catalogue, Entry, SummaryAddress};
use crate::journey::RecipientStatus;
use crate::mail::Address;

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct MessageSummary {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "MessageID")]
    message_id: String,
    read: bool,
    from: SummaryAddress,
    to: Vec<SummaryAddress>,
    cc: Vec<SummaryAddress>,
    bcc: Vec<SummaryAddress>,
    reply_to: Vec<SummaryAddress>,
    subject: String,
    created: Timestamp,
    username: String,
    tags: Vec<String>,
    size: u64,
    attachments: usize,
    snippet: String,
    envelope: Envelope,
}

/// `MAIL FROM` and `RCPT TO`; ours.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Envelope {
    from: String,
    to: Vec<String>,
}

impl Envelope {
    /// Returns the envelope of a message in the catalogue; `from` is empty for the null reverse-path.
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            from: entry.reverse_path.as_ref().map(ToString::to_string).unwrap_or_default(),
            to: entry.recipients.iter().map(ToString::to_string).collect(),
        }
    }
}

impl MessageSummary {
    /// Returns a message as lists show it, from its entry and its summary in the catalogue. A missing sender is one
    /// without name and address; 404 if the message is gone, and 503 if it cannot be read.
    pub(super) fn of(catalogue: &Catalogue, entry: &Entry) -> Answer<Self> {
        let summary = catalogue.summary(entry)?;
        Ok(Self {
            id: entry.id.to_string(),
            message_id: summary.message_id,
            read: !entry.is_unread,
            from: summary.from.unwrap_or_default(),
            to: summary.to,
            cc: summary.cc,
            bcc: summary.bcc,
            reply_to: summary.reply_to,
            subject: summary.subject,
            created: entry.arrived,
            username: entry.login.clone().unwrap_or_default(),
            tags: entry.tags.clone(),
            size: entry.size,
            attachments: summary.attachments,
            snippet: summary.snippet,
            envelope: Envelope::of(entry),
        })
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct MessagesSummary {
    pub(super) total: u64,
    pub(super) unread: u64,
    pub(super) count: usize,
    pub(super) messages_count: u64,
    pub(super) messages_unread: u64,
    pub(super) start: usize,
    pub(super) tags: Vec<String>,
    pub(super) messages: Vec<MessageSummary>,
    /// `cursor` of the next page; ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attachment {
    #[serde(rename = "PartID")]
    pub(super) part_id: String,
    pub(super) file_name: String,
    pub(super) content_type: String,
    #[serde(rename = "ContentID")]
    pub(super) content_id: String,
    pub(super) size: usize,
    pub(super) checksums: Checksums,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Checksums {
    #[serde(rename = "MD5")]
    pub(super) md5: String,
    #[serde(rename = "SHA1")]
    pub(super) sha1: String,
    #[serde(rename = "SHA256")]
    pub(super) sha256: String,
}

#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListUnsubscribe {
    pub(super) header: String,
    pub(super) links: Vec<String>,
    pub(super) errors: String,
    pub(super) header_post: String,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Message {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "MessageID")]
    pub(super) message_id: String,
    pub(super) from: SummaryAddress,
    pub(super) to: Vec<SummaryAddress>,
    pub(super) cc: Vec<SummaryAddress>,
    pub(super) bcc: Vec<SummaryAddress>,
    pub(super) reply_to: Vec<SummaryAddress>,
    pub(super) return_path: String,
    pub(super) subject: String,
    pub(super) list_unsubscribe: ListUnsubscribe,
    pub(super) date: Timestamp,
    pub(super) tags: Vec<String>,
    pub(super) username: String,
    pub(super) text: String,
    #[serde(rename = "HTML")]
    pub(super) html: String,
    pub(super) size: u64,
    pub(super) inline: Vec<Attachment>,
    pub(super) attachments: Vec<Attachment>,
    // Ours:
    pub(super) read: bool,
    pub(super) envelope: Envelope,
    /// What became of it for each recipient, as far as the event log knows.
    #[schema(value_type = BTreeMap<String, RecipientStatus>)]
    pub(super) recipients: BTreeMap<Address, RecipientStatus>,
    pub(super) codes: Vec<String>,
    pub(super) links: Vec<String>,
    pub(super) unsubscribe: Unsubscribe,
    pub(super) invitations: Vec<Invitation>,
}

/// Header fields by their canonical names, in order.
pub(super) type Headers = BTreeMap<String, Vec<String>>;
