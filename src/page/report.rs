//! The report of a simulation as one file that needs nothing else: the modules of the page that draw it are in the file, under the
//! names by which they import each other.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::assets;
use super::modules::{Module, import_name, needed_by, text};

/// The module that shows a report.
const MAIN: &str = "js/report/main.js";
/// It loads nothing, from nowhere.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; \
                      form-action 'none'";
const STYLES: [&str; 5] = ["css/base.css", "css/shell.css", "css/letter.css", "css/journey.css", "css/report.css"];
/// Returns the HTML document that shows the report of a simulation, given as JSON, and loads nothing else. The title is
/// plain text.
pub fn report(title: &str, json: &str) -> String {
    let mut imports = BTreeMap::new();
    for path in needed_by(MAIN) {
        let named = assets::find(&path).map_or_else(String::new, |file| Module::read(&path, text(file)).named);
        imports.insert(import_name(&path), format!("data:text/javascript;base64,{}", STANDARD.encode(named)));
    }
    let (map, main) = (serde_json::json!({ "imports": imports }), import_name(MAIN));
    let styles =
        STYLES.iter().filter_map(|path| assets::find(path)).fold(String::new(), |styles, file| styles + text(file));
    let theme = assets::find("js/theme.js").map_or("", text);
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    // In JSON, `<` is in strings only, where it may be written so.
    let json = json.replace('<', "\\u003c");
    format!(
        "<!doctype html>\n<html lang=\"en\" data-report>\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>\n{styles}</style>\n\
         <script>\n{theme}</script>\n<script type=\"importmap\">{map}</script>\n\
         <script type=\"application/json\" id=\"report\">{json}</script>\n\
         <script type=\"module\">import \"{main}\";</script>\n</head>\n<body>\n<post-report></post-report>\n\
         <noscript>This report needs JavaScript, and nothing from elsewhere.</noscript>\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_has_every_module_and_no_address() {
        let needed = needed_by(MAIN);
        assert!(needed.contains("js/journey/waterfall.js") && needed.contains("vendor/lit.js"));
        for path in &needed {
            let Module { named, .. } = Module::read(path, text(assets::find(path).unwrap()));
            let relative = named.lines().find(|line| line.starts_with("import") && line.contains("\"."));
            assert_eq!(relative, None, "{path}");
        }
        let html = report("a <b>", "{\"about\":\"</script><script>x()\"}");
        assert!(html.contains("a &lt;b>") && html.contains("\\u003c/script>") && !html.contains("<script>x()"));
        for address in ["src=\"", "href=\"", "url("] {
            assert!(!html.contains(address), "{address}");
        }
    }
}
