//! What every page must be: open to everybody (axe-core), light, narrow enough for a small screen, at rest, and silent in the console.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::browser::{Browser, Look};

/// The narrowest screen.
const NARROW: u32 = 360;
/// Bytes of a page's own document.
const HEAVY: u64 = 100 * 1024;
/// How much of what is shown may move while a page comes up, as browsers count it (`layout-shift`): nobody sees so little.
const SHIFT: f64 = 0.02;
/// Where `scripts/axe.sh` puts it.
const AXE: &str = "axe-core-4.14.1.js";

/// The script; none, with a line that says so, where it was not fetched.
#[expect(clippy::print_stdout, reason = "whoever reads the tests' output must see that some were left out")]
fn axe() -> Option<&'static str> {
    static SCRIPT: OnceLock<Option<String>> = OnceLock::new();
    let script = SCRIPT.get_or_init(|| {
        let tools = std::env::var_os("ADAPTABLE_TEST_TOOLS").unwrap_or_else(|| "/var/cache/adaptable/test".into());
        let file = PathBuf::from(tools).join(AXE);
        let script = fs::read_to_string(&file).ok();
        if script.is_none() {
            assert!(std::env::var_os("CI").is_none(), "{} is not there: scripts/axe.sh fetches it", file.display());
            println!("left out: {} is not there; scripts/axe.sh fetches it, where there is npm", file.display());
        }
        script
    });
    script.as_deref()
}

/// What is wrong with the page that is open, whatever it looks like. It has to come first: a window that changes moves everything.
pub(crate) fn audit(browser: &Browser) -> Vec<String> {
    let ask = |script: &str| browser.script(script, &json!([])).unwrap_or_default();
    let moved = ask(MOVED);
    let mut wrong: Vec<String> = browser.complaints().into_iter().map(|line| format!("console: {line}")).collect();
    if moved["sum"].as_f64().unwrap_or(1.0) > SHIFT {
        wrong.push(format!("the page moves while it comes up: {moved}"));
    }
    let headings = ask("return document.querySelectorAll('h1').length");
    if headings != 1 {
        wrong.push(format!("{headings} first headings"));
    }
    let size = ask("return performance.getEntriesByType('navigation')[0].decodedBodySize").as_u64().unwrap_or(0);
    if size == 0 || size > HEAVY {
        wrong.push(format!("a document of {size} bytes"));
    }
    wrong
}

/// How much has moved since the page began, and what.
const MOVED: &str = "return new Promise((done) => {
    let sum = 0;
    const what = [];
    const name = (node) => node?.tagName ? `${node.tagName.toLowerCase()}.${node.className?.baseVal ?? node.className}` : String(node?.nodeName);
    const see = (list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) {
        sum += entry.value;
        what.push(...entry.sources.map((source) => name(source.node)));
    } };
    new PerformanceObserver(see).observe({type: 'layout-shift', buffered: true});
    setTimeout(() => done({sum, what: what.slice(0, 4)}), 80);
})";

/// Whether the page can be read without moving it sideways; what sticks out, in words.
pub(crate) fn narrow(browser: &Browser) -> Vec<String> {
    browser.look(Look { width: NARROW, height: 740, dark: false });
    let script = "const wide = document.scrollingElement.scrollWidth; if (wide <= innerWidth) return [];
        return [`${wide} px wide`, ...[...document.body.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
            .slice(0, 4).map((e) => `${e.tagName.toLowerCase()}.${e.className?.baseVal ?? e.className}: ${e.textContent.trim().slice(0, 40)}`)]";
    let sticking = browser.script(script, &json!([])).unwrap_or_default();
    let sticking: Vec<_> = sticking.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    if sticking.is_empty() { Vec::new() } else { vec![format!("at {NARROW} px: {}", sticking.join("; "))] }
}

/// What axe-core calls serious or critical; in the dark, of what depends on colours. It runs in a world of its own, which the page's
/// policy does not reach.
pub(crate) fn barriers(browser: &Browser, dark: bool) -> Vec<String> {
    let Some(axe) = axe() else { return Vec::new() };
    // The scheme has just been changed, and every element has to have its colours.
    let drawn = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 100))))";
    browser.cdp("Runtime.evaluate", &json!({"expression": drawn, "awaitPromise": true}));
    let tree = browser.cdp("Page.getFrameTree", &json!({}));
    let world = json!({"frameId": tree["frameTree"]["frame"]["id"], "worldName": "axe"});
    let context = browser.cdp("Page.createIsolatedWorld", &world)["executionContextId"].clone();
    let run = |expression: &str| {
        let parameters = json!({"expression": expression, "contextId": context, "awaitPromise": true, "returnByValue": true});
        let answer = browser.cdp("Runtime.evaluate", &parameters);
        assert!(answer["exceptionDetails"].is_null(), "axe-core: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    };
    if run("typeof axe") == "undefined" {
        run(&format!("{axe}; 1"));
    }
    let only = if dark { ", runOnly: ['color-contrast', 'link-in-text-block']" } else { "" };
    let found = run(&format!(
        "axe.run(document, {{resultTypes: ['violations']{only}}}).then((all) => all.violations.filter((v) => ['serious', 'critical'].includes(v.impact))\
         .map((v) => `${{v.id}}: ${{v.help}}: ${{v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + n.html.slice(0, 120) + ' ' + (n.any[0]?.message ?? '')).join(' | ')}}`))",
    ));
    let scheme = if dark { "dark" } else { "light" };
    found.as_array().into_iter().flatten().filter_map(Value::as_str).map(|words| format!("{scheme}: {words}")).collect()
}
