//! About this server.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;

use super::{Answer, AppState, Ours, catalogue};
use crate::catalogue::Filter;

/// The version of the interface; clients compare it.
pub(super) const VERSION: &str = concat!("v1.30.5+postroad-", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AppInformation {
    version: &'static str,
    latest_version: &'static str,
    database: String,
    database_size: u64,
    messages: u64,
    unread: u64,
    tags: BTreeMap<String, u64>,
    runtime_stats: RuntimeStats,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct RuntimeStats {
    uptime: u64,
    /// Resident memory in bytes, where the system gives it.
    memory: u64,
    messages_deleted: u64,
    #[serde(rename = "SMTPAccepted")]
    smtp_accepted: u64,
    #[serde(rename = "SMTPAcceptedSize")]
    smtp_accepted_size: u64,
    #[serde(rename = "SMTPRejected")]
    smtp_rejected: u64,
    #[serde(rename = "SMTPIgnored")]
    smtp_ignored: u64,
}

/// About this server.
///
/// Versions, the file and the size of the database, the numbers of messages, of unread ones and of those with each tag,
/// and the figures of the process. What was rejected or ignored is always 0.
#[utoipa::path(get, path = "/api/v1/info", tag = "messages", responses((status = 200, body = AppInformation)))]
pub(super) async fn info(State(running): AppState, Extension(shared): Ours) -> Answer<Json<AppInformation>> {
    let catalogue = catalogue(&running)?;
    let (messages, unread) = catalogue.count(&Filter::default())?;
    let totals = catalogue.totals()?;
    let file = running.env.store.folder().map(|folder| folder.join("post.db"));
    let database_size = file.as_ref().and_then(|file| std::fs::metadata(file).ok()).map_or(0, |file| file.len());
    Ok(Json(AppInformation {
        version: VERSION,
        latest_version: "disabled",
        database: file.map(|file| file.display().to_string()).unwrap_or_default(),
        database_size,
        messages,
        unread,
        tags: catalogue.tags()?.into_iter().collect(),
        runtime_stats: RuntimeStats {
            uptime: shared.began.elapsed().as_secs(),
            memory: resident_bytes().unwrap_or(0),
            messages_deleted: totals.accepted.saturating_sub(messages),
            smtp_accepted: totals.accepted,
            smtp_accepted_size: totals.size,
            smtp_rejected: 0,
            smtp_ignored: 0,
        },
    }))
}

/// The resident memory of this process in bytes; `None` where there is no `/proc/self/status`.
pub(in crate::control) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    resident.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WebConfiguration {
    label: String,
    message_relay: MessageRelay,
    spam_assassin: bool,
    chaos_enabled: bool,
    duplicates_ignored: bool,
    hide_delete_all_button: bool,
}

#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "PascalCase")]
struct MessageRelay {
    enabled: bool,
    #[serde(rename = "SMTPServer")]
    smtp_server: String,
    return_path: String,
    allowed_recipients: String,
    blocked_recipients: String,
    override_from: String,
    #[serde(rename = "PreserveMessageIDs")]
    preserve_message_ids: bool,
    recipient_allowlist: String,
}

/// What the page of Mailpit would show.
///
/// All values are fixed, except the name of the world.
#[utoipa::path(get, path = "/api/v1/webui", tag = "messages", responses((status = 200, body = WebConfiguration)))]
pub(super) async fn webui(State(running): AppState) -> Json<WebConfiguration> {
    let world = &running.env.world;
    let relay = MessageRelay {
        enabled: true,
        smtp_server: format!("the world {}", world.name),
        preserve_message_ids: true,
        ..MessageRelay::default()
    };
    Json(WebConfiguration {
        label: world.name.clone(),
        message_relay: relay,
        spam_assassin: false,
        chaos_enabled: true,
        duplicates_ignored: false,
        hide_delete_all_button: false,
    })
}
