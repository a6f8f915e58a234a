//! The frame of a page: style in the page itself, for light and dark screens and for print.

use crate::escape_html;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #222; --grey: #696969; --line: #e2e2e2; --paper: #fff; --link: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --grey: #a0a0a0; --line: #444; --paper: #1b1b1b; --link: #56b4e9; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0.2rem; } h2 { margin-top: 2rem; }
a { color: var(--link); }
blockquote { margin: 1rem 0; padding-left: 1rem; border-left: 3px solid var(--line); color: var(--grey); }
table { border-collapse: collapse; margin: 1.5rem 0; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.4rem; }
th { text-align: left; font-weight: 600; border-bottom: 2px solid var(--line); }
td, th { padding: 0.35rem 0.6rem; vertical-align: top; }
td { border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
td.number, th.number { text-align: right; }
.verdict td:first-child { white-space: nowrap; }
.note { color: var(--grey); font-size: 0.9em; }
.badge { border-radius: 0.6rem; padding: 0.05rem 0.6rem; font-size: 0.85em; white-space: nowrap; border: 1px solid currentColor; }
.held { color: #00805d; } .not-held { color: #c04a00; } .not-comparable, .reported { color: var(--grey); }
.course { display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); gap: 1rem; }
figure { margin: 1.5rem 0; background: #fff; } svg, img { max-width: 100%; height: auto; }
";

/// A whole page with `title` around `body`, which is HTML already.
pub(super) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} - kiln</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape_html(title)
    )
}
