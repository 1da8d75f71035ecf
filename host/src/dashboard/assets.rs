//! The files of the page, and the page of a report, which has everything in itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

pub(super) const PAGE: &str = include_str!("page/index.html");
pub(super) const STYLE: &str = include_str!("page/style.css");
pub(super) const VIEW: &str = include_str!("page/view.js");
pub(super) const LIVE: &str = include_str!("page/live.js");
const REPORT: &str = include_str!("page/report.js");

/// Returns a page without any other file: a state of a [`Board`](crate::observe::Board), and what else is known of the job.
///
/// The page runs the scripts whose hashes its policy has, and no other. Both documents are data in it: with every `<` escaped,
/// so that no text of theirs ends the element in which it stands.
#[doc(hidden)]
#[must_use]
pub fn report_page(title: &str, state: &Json, settings: &Json) -> String {
    let policy = format!(
        "default-src 'none'; script-src {} {}; style-src {}; base-uri 'none'; form-action 'none'",
        hash(VIEW),
        hash(REPORT),
        hash(STYLE)
    );
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>{title}</h1></header>\n<main id=\"main\"></main>\n\
         <script type=\"application/json\" id=\"state\">{}</script>\n\
         <script type=\"application/json\" id=\"settings\">{}</script>\n\
         <script>{VIEW}</script>\n<script>{REPORT}</script>\n</body>\n</html>\n",
        data(state),
        data(settings),
    )
}

/// The hash of what stands in an element, as a policy names it.
fn hash(content: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(content)))
}

/// JSON that may stand in a script element.
fn data(document: &Json) -> String {
    document.to_string().replace('<', "\\u003c")
}

/// Text as it stands in an element.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scripts_make_text_nodes_and_nothing_else() {
        for script in [VIEW, LIVE, REPORT] {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "srcdoc",
                "javascript:",
                "DOMParser",
                "setTimeout('",
                "onclick",
            ] {
                assert!(!script.contains(way), "{way}");
            }
            // Nothing in it ends the element of a report.
            assert!(!script.contains("</"), "{script}");
        }
        assert!(!STYLE.contains("</") && !PAGE.contains("<script>") && !PAGE.contains("style="));
    }

    #[test]
    fn texts_of_a_report_stay_texts() {
        let hostile = "</script><script>alert(1)</script><!--";
        let page = report_page(hostile, &json!({ "text": hostile }), &json!([hostile]));
        assert_eq!(page.matches("<script").count(), 4);
        assert_eq!(page.matches("</script>").count(), 4);
        assert!(!page.contains("<!--"));
        let policy = format!("{} {}", hash(VIEW), hash(REPORT));
        assert!(page.contains(&policy));
    }
}
