//! The files of the page, as they are in the folder `assets`.

use std::sync::LazyLock;

/// A file that browsers load.
pub(super) struct Asset {
    path: &'static str,
    pub(super) media_type: &'static str,
    pub(super) bytes: &'static [u8],
    /// Changes when the file does.
    pub(super) tag: String,
}

/// The document of every view; `<base>` in it is filled in.
pub(super) const DOCUMENT: &[u8] = include_bytes!("assets/index.html");

macro_rules! files {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("assets/", $path)))),*]
    };
}

/// Path and content of each file.
const FILES: &[(&str, &[u8])] = files! {
    "css/base.css"
    "css/journey.css"
    "css/letter.css"
    "css/mail.css"
    "css/report.css"
    "css/shell.css"
    "css/world.css"
    "js/api.js"
    "js/app.js"
    "js/compose.js"
    "js/dialogs.js"
    "js/fate.js"
    "js/format.js"
    "js/icons.js"
    "js/journey/attempt.js"
    "js/journey/axis.js"
    "js/journey/compare.js"
    "js/journey/drawer.js"
    "js/journey/export.js"
    "js/journey/journey.js"
    "js/journey/lanes.js"
    "js/journey/phases.js"
    "js/journey/summary.js"
    "js/journey/timeline.js"
    "js/journey/waterfall.js"
    "js/keys.js"
    "js/learn.js"
    "js/live.js"
    "js/mail/actions.js"
    "js/mail/check.js"
    "js/mail/empty.js"
    "js/mail/headers.js"
    "js/mail/html.js"
    "js/mail/import.js"
    "js/mail/letter.js"
    "js/mail/links.js"
    "js/mail/list.js"
    "js/mail/mail.js"
    "js/mail/mailboxes.js"
    "js/mail/mime.js"
    "js/mail/pages.js"
    "js/mail/parts.js"
    "js/mail/path.js"
    "js/mail/remote.js"
    "js/mail/text.js"
    "js/mail/thread.js"
    "js/report/main.js"
    "js/report/plots.js"
    "js/report/report.js"
    "js/routes.js"
    "js/sample.js"
    "js/search.js"
    "js/start.js"
    "js/store.js"
    "js/styles.js"
    "js/theme-button.js"
    "js/theme.js"
    "js/world-state.js"
    "js/world/fault-form.js"
    "js/world/faults.js"
    "js/world/layout.js"
    "js/world/log.js"
    "js/world/map.js"
    "js/world/queues.js"
    "js/world/sessions.js"
    "js/world/world.js"
    "mark.svg"
    "vendor/lit.LICENSE.txt"
    "vendor/lit.js"
};

/// The style sheets of the document as one file, in the order of their rules: nothing is shown before the last of them.
const ALL_SHEETS: &str = "css/all.css";
const SHEETS: [&str; 6] =
    ["css/base.css", "css/shell.css", "css/mail.css", "css/letter.css", "css/journey.css", "css/world.css"];

static SHEETS_IN_ONE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let sheet = |path| FILES.iter().find(|(name, _)| *name == path).map_or(&[][..], |(_, bytes)| bytes);
    SHEETS.map(sheet).concat()
});

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let asset = |(path, bytes): (&'static str, &'static [u8])| Asset {
        path,
        media_type: media_type(path),
        bytes,
        tag: tag(bytes),
    };
    FILES.iter().copied().chain([(ALL_SHEETS, SHEETS_IN_ONE.as_slice())]).map(asset).collect()
});

/// Returns the file at this path below `assets`, given without a version; `None` if there is none.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for (path, bytes) in FILES {
        hasher.update(path.as_bytes()).update(&[0]).update(blake3::hash(bytes).as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
});

/// Returns sixteen hexadecimal digits that change when any file of the page does, for the paths of the files.
pub(super) fn version() -> &'static str {
    &VERSION
}

/// Returns the entity tag of these bytes, with its quotes; it changes when they do. RFC 9110 §8.8.3.
pub(super) fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..20])
}

/// Returns the media type of a file by the ending of its path: script, style sheet or SVG; that of plain text for all
/// others.
fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, end)| end) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// All files of a folder that browsers load, relative to the root.
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                walk(root, &path, found);
            } else if !name.ends_with(".d.ts") && name != "index.html" {
                found.push(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/assets");
        let mut found = Vec::new();
        walk(&root, &root, &mut found);
        found.sort();
        let mut listed: Vec<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        listed.sort();
        assert_eq!(found, listed);
        let styles: usize = SHEETS.iter().filter_map(|path| find(path)).map(|sheet| sheet.bytes.len()).sum();
        assert_eq!(find(ALL_SHEETS).map(|sheet| sheet.bytes.len()), Some(styles));
        assert!(find("js/app.js").is_some() && find("../mod.rs").is_none());
    }
}
