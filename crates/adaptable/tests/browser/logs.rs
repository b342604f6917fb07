//! A log of a hundred thousand lines: how long it takes until it is there, and whether it scrolls without a stutter.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::browser::Browser;
use crate::people::become_operator;
use crate::platform;

/// Lines that the release command writes.
const LINES: u32 = 100_000;
/// How long until all are on the page, in seconds: generous, since the machine may be busy.
const LOADED: u64 = 60;
/// The slowest frame while it is scrolled that may be, in milliseconds: a person would call more than that a stutter.
const FRAME: f64 = 250.0;

/// Scrolls through the log from top to bottom, a screenful each frame, and records how long frames take.
const SCROLL: &str = r"
    const box = document.querySelector('[role=log]');
    window.frames_seen = [];
    box.scrollTop = 0;
    let before = null;
    const step = (now) => {
        if (before !== null) window.frames_seen.push(now - before);
        before = now;
        box.scrollTop += box.clientHeight;
        if (window.frames_seen.length < 200) requestAnimationFrame(step); else window.frames_done = true;
    };
    requestAnimationFrame(step);
";

#[test]
fn a_log_of_a_hundred_thousand_lines_is_there_soon_and_scrolls() {
    let platform = platform();
    let browser = Browser::open(&platform);
    become_operator(&platform, &browser);
    let release = format!(
        "for n in range({LINES}):\n    print(f'\\x1b[3{{n % 8}}mline {{n}}\\x1b[0m of the release command, as long as such lines are')\n"
    );
    let app = "import os\nfrom http.server import HTTPServer, SimpleHTTPRequestHandler\n\nHTTPServer(('0.0.0.0', int(os.environ['PORT'])), SimpleHTTPRequestHandler).serve_forever()\n";
    let procfile = "release: python release.py\nweb: python app.py\n";
    let source = platform.source("chatty", &[("app.py", app), ("release.py", &release), ("Procfile", procfile)]);
    platform.deploy(&source, &[]);

    let began = Instant::now();
    browser.goto("/apps/chatty/deployments/1");
    browser.see("Log");
    let first = began.elapsed();
    // All of them: the page counts what it has.
    browser.see_within(LOADED, "100,0");
    let all = began.elapsed();
    let ask = |script: &str| browser.script(script, &json!([])).unwrap_or_default();
    ask(SCROLL);
    testkit::wait_until("it is scrolled", 60, || ask("return window.frames_done === true") == true);
    let mut frames: Vec<f64> =
        ask("return window.frames_seen").as_array().expect("frames").iter().filter_map(serde_json::Value::as_f64).collect();
    frames.sort_by(f64::total_cmp);
    let (half, most, worst) = (frames[frames.len() / 2], frames[frames.len() * 95 / 100], frames[frames.len() - 1]);
    println!(
        "{LINES} lines: the page after {first:.1?}, all of them after {all:.1?}; a frame of scrolling {half:.0} ms, 95 % {most:.0} ms, the slowest {worst:.0} ms"
    );
    assert!(first < Duration::from_secs(10), "the page took {first:?}");
    assert!(most < FRAME, "a frame of scrolling takes {most} ms");
    // Searching it is as quick as typing.
    browser.fill("Search in the log", "line 77777");
    browser.see("1 found");
}
