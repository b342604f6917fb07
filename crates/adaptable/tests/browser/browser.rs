//! A browser as a person uses it: where it is, what it shows, what is clicked and written; whatever its console complains of fails the test.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Platform;

use crate::driver::{Driver, Refused};
use crate::words;

/// How long a page may take to show what it is asked for.
const PATIENCE: u64 = 20;
/// The key under which `WebDriver` names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys by `WebDriver`'s code points.
pub(crate) mod key {
    /// To the next stop.
    pub(crate) const TAB: char = '\u{E004}';
    /// What sends a form.
    pub(crate) const ENTER: char = '\u{E007}';
    /// Held until [`NULL`].
    pub(crate) const CONTROL: char = '\u{E009}';
    /// Lets go of what is held.
    pub(crate) const NULL: char = '\u{E000}';
}

/// How a browser looks at pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// The window's width in CSS pixels.
    pub(crate) width: u32,
    /// The window's height.
    pub(crate) height: u32,
    /// Whether its user likes dark pages.
    pub(crate) dark: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1280, height: 900, dark: false }
    }
}

/// Something on a page.
#[derive(Debug)]
pub(crate) struct Element(String);

/// A browser that trusts one platform's certificates, and no others.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Driver,
    base: String,
    /// Parts of lines of the console that the test expects.
    expected: RefCell<Vec<String>>,
    complaints: RefCell<Vec<String>>,
    // Gone after the driver.
    _home: TempDir,
}

impl Browser {
    /// Opens a browser of a new user who trusts the platform's authority.
    pub(crate) fn open(platform: &Platform) -> Self {
        let home =
            tempfile::Builder::new().prefix("adaptable-browser-").tempdir_in("/var/tmp").expect("a directory of one's own");
        trust(home.path(), &platform.data().join("ca.pem"));
        let browser = Self {
            driver: Driver::start(home.path()),
            base: format!("https://localhost:{}", platform.https().port()),
            expected: RefCell::default(),
            complaints: RefCell::default(),
            _home: home,
        };
        browser.look(Look::default());
        browser
    }

    /// Changes the window and the colour scheme.
    pub(crate) fn look(&self, look: Look) {
        let scheme = if look.dark { "dark" } else { "light" };
        let features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")];
        let features: Vec<_> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.cdp("Emulation.setEmulatedMedia", &json!({"features": features}));
        let metrics = json!({"width": look.width, "height": look.height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Lets pages run scripts, or not.
    pub(crate) fn scripts(&self, run: bool) {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({"value": !run}));
    }

    /// From here on the console may have lines with these words.
    pub(crate) fn expect_in_console(&self, words: &str) {
        self.expected.borrow_mut().push(words.to_owned());
    }

    /// A command of Chromium's own protocol.
    #[track_caller]
    pub(crate) fn cdp(&self, command: &str, parameters: &Value) -> Value {
        self.driver.cdp(command, parameters).unwrap_or_else(|refused| panic!("{command}: {refused:?}"))
    }

    /// Opens a page of the platform, or of anybody where the whole address is given.
    #[track_caller]
    pub(crate) fn goto(&self, address: &str) {
        self.listen();
        let url = if address.starts_with('/') { format!("{}{address}", self.base) } else { address.to_owned() };
        self.post("/url", &json!({"url": url})).unwrap_or_else(|refused| panic!("{url}: {refused:?}"));
    }

    /// The page before this one.
    pub(crate) fn back(&self) {
        self.post("/back", &json!({})).unwrap_or_else(|refused| panic!("back: {refused:?}"));
    }

    /// The page anew.
    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({})).unwrap_or_else(|refused| panic!("reload: {refused:?}"));
    }

    /// The whole address.
    pub(crate) fn url(&self) -> String {
        let url = self.driver.call("GET", "/url", &Value::Null).unwrap_or_else(|refused| panic!("where: {refused:?}"));
        url.as_str().expect("an address").to_owned()
    }

    /// The path, on the platform; the whole address anywhere else.
    pub(crate) fn path(&self) -> String {
        let url = self.url();
        url.strip_prefix(&self.base).map_or(url.clone(), str::to_owned)
    }

    /// An app's address.
    pub(crate) fn app(&self, name: &str) -> String {
        self.base.replacen("https://", &format!("https://{name}."), 1)
    }

    /// The platform's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Everything that can be read on the page.
    pub(crate) fn text(&self) -> String {
        self.script(words::TEXT, &json!([])).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Waits until the page shows these words.
    #[track_caller]
    pub(crate) fn see(&self, words: &str) {
        self.see_within(PATIENCE, words);
    }

    /// The same, for what takes longer; seconds.
    #[track_caller]
    pub(crate) fn see_within(&self, seconds: u64, words: &str) {
        self.wait(seconds, &format!("the words {words:?}"), || self.text().contains(words).then_some(()));
    }

    /// Waits until the path ends so.
    #[track_caller]
    pub(crate) fn arrive_at(&self, path: &str) {
        self.wait(PATIENCE, &format!("an address that ends with {path}"), || self.path().ends_with(path).then_some(()));
    }

    /// Waits until the path begins so.
    #[track_caller]
    pub(crate) fn arrive(&self, path: &str) {
        self.wait(PATIENCE, &format!("the address {path}"), || self.path().starts_with(path).then_some(()));
    }

    /// Opens the page again and again until it shows these words.
    #[track_caller]
    pub(crate) fn until_it_says(&self, seconds: u64, words: &str) {
        self.wait(seconds, &format!("the words {words:?}, with time"), || {
            self.reload();
            self.text().contains(words).then_some(())
        });
    }

    /// Waits until the path is that, whatever is asked of it behind it.
    #[track_caller]
    pub(crate) fn wait_for_path(&self, path: &str) {
        let here = || self.path().split(['?', '#']).next() == Some(path);
        self.wait(PATIENCE, &format!("the address {path}"), || here().then_some(()));
    }

    /// Whether the page has something to click of that name now.
    pub(crate) fn offers(&self, name: &str) -> bool {
        self.named(words::CLICKABLE, name, &str::eq).is_some()
    }

    /// Clicks the button or link of that name.
    #[track_caller]
    pub(crate) fn click(&self, name: &str) {
        self.act(words::CLICKABLE, name, &str::eq, |element| self.press_on(element));
    }

    /// Clicks the first one whose name begins so: a row whose link has more in it than its name.
    #[track_caller]
    pub(crate) fn choose(&self, name: &str) {
        self.act(words::CLICKABLE, name, &|has: &str, wanted: &str| has.starts_with(wanted), |element| self.press_on(element));
    }

    /// Clicks the button of that name which is nearest to those words ("click Change next to Start Command").
    #[track_caller]
    pub(crate) fn click_beside(&self, name: &str, beside: &str) {
        self.wait(PATIENCE, &format!("{name:?} beside {beside:?}"), || {
            let found = self.script(words::BESIDE, &json!([words::CLICKABLE, name, beside])).ok()?;
            let element = Element(found[ELEMENT].as_str()?.to_owned());
            self.press_on(&element).ok()
        });
    }

    /// Writes into the field of that label, in place of what is there.
    #[track_caller]
    pub(crate) fn fill(&self, label: &str, value: &str) {
        self.act(words::FIELDS, label, &str::eq, |element| {
            self.of(element, "/clear", &json!({}))?;
            self.of(element, "/value", &json!({"text": value}))
        });
    }

    /// What stands in the field of that label.
    #[track_caller]
    pub(crate) fn value(&self, label: &str) -> String {
        let element = self.wait(PATIENCE, &format!("the field {label:?}"), || self.named(words::FIELDS, label, &str::eq));
        let value = self.driver.call("GET", &format!("/element/{}/property/value", element.0), &Value::Null);
        value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Ticks the box, or chooses the radio button, whose name begins so.
    #[track_caller]
    pub(crate) fn tick(&self, label: &str) {
        self.act(words::TICKABLE, label, &|has: &str, wanted: &str| has.starts_with(wanted), |element| {
            let selected = self.driver.call("GET", &format!("/element/{}/selected", element.0), &Value::Null)?;
            if selected == true {
                return Ok(Value::Null);
            }
            self.press_on(element).or_else(|refused| {
                // A box that is drawn by its label is ticked by its label.
                let label = self.script("return arguments[0].labels?.[0] ?? null", &json!([{ELEMENT: element.0}]))?;
                label[ELEMENT].as_str().map_or(Err(refused), |label| self.press_on(&Element(label.to_owned())))
            })
        });
    }

    /// Chooses from the list of that label.
    #[track_caller]
    pub(crate) fn select(&self, label: &str, option: &str) {
        let list = self.wait(PATIENCE, &format!("the list {label:?}"), || self.named("select", label, &str::eq));
        let script =
            "const [list, text] = arguments; return [...list.options].find((o) => o.textContent.trim().startsWith(text)) ?? null";
        let found = self.script(script, &json!([{ELEMENT: list.0}, option])).unwrap_or_default();
        let found = found[ELEMENT].as_str().unwrap_or_else(|| panic!("{label:?} has no {option:?}")).to_owned();
        self.press_on(&Element(found)).unwrap_or_else(|refused| panic!("{option:?}: {refused:?}"));
    }

    /// Gives a file to the field of that label.
    #[track_caller]
    pub(crate) fn upload(&self, label: &str, file: &Path) {
        let file = file.to_str().expect("a plain path");
        self.act("input[type=file]", label, &|has: &str, wanted: &str| has.starts_with(wanted), |element| {
            self.of(element, "/value", &json!({"text": file}))
        });
    }

    /// Presses and releases keys one after the other.
    pub(crate) fn keys(&self, keys: &str) {
        let mut actions = Vec::new();
        let act = |what: &str, key: char| json!({"type": what, "value": key.to_string()});
        for key in keys.chars() {
            match key {
                key::CONTROL => actions.push(act("keyDown", key)),
                key::NULL => actions.push(act("keyUp", key::CONTROL)),
                key => actions.extend([act("keyDown", key), act("keyUp", key)]),
            }
        }
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.post("/actions", &body).unwrap_or_else(|refused| panic!("keys: {refused:?}"));
    }

    /// Whether what has the focus can be told from what has not: an outline of its own, or of what is drawn around it.
    pub(crate) fn shows_focus(&self) -> bool {
        self.script(words::SHOWS_FOCUS, &json!([])).is_ok_and(|shows| shows == true)
    }

    /// The accessible name of what has the focus; empty where that is the page.
    pub(crate) fn focused(&self) -> String {
        let active = self.driver.call("GET", "/element/active", &Value::Null).unwrap_or_default();
        active[ELEMENT].as_str().and_then(|element| self.label(&Element(element.to_owned()))).unwrap_or_default()
    }

    /// Runs a script in the page, with `arguments`.
    pub(crate) fn script(&self, script: &str, arguments: &Value) -> Result<Value, Refused> {
        self.post("/execute/sync", &json!({"script": script, "args": arguments}))
    }

    /// A picture, by Chromium's `Page.captureScreenshot` with these parameters.
    pub(crate) fn picture(&self, parameters: &Value) -> Vec<u8> {
        let answer = self.cdp("Page.captureScreenshot", parameters);
        STANDARD.decode(answer["data"].as_str().expect("a picture")).expect("base64")
    }

    /// What the console has complained of since the last time, without what is expected.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.listen();
        self.complaints.take()
    }

    /// Takes what the console has.
    fn listen(&self) {
        let lines = self.post("/se/log", &json!({"type": "browser"})).unwrap_or_default();
        let lines = lines.as_array().cloned().unwrap_or_default();
        let expected = self.expected.borrow();
        for line in lines.iter().filter(|line| line["level"] == "SEVERE" || line["level"] == "WARNING") {
            let message = line["message"].as_str().unwrap_or_default();
            // An app's own page is the app's: without an icon, for one.
            let ours = message.starts_with(&self.base);
            if ours && !expected.iter().any(|words| message.contains(words)) {
                self.complaints.borrow_mut().push(message.to_owned());
            }
        }
    }

    /// Finds the element and does something with it, until it is done.
    #[track_caller]
    fn act(
        &self,
        selector: &str,
        name: &str,
        matches: &dyn Fn(&str, &str) -> bool,
        mut action: impl FnMut(&Element) -> Result<Value, Refused>,
    ) {
        let mut last = None;
        let done = until(PATIENCE, || {
            let element = self.named(selector, name, matches)?;
            match action(&element) {
                Ok(_) => Some(()),
                Err(refused) => {
                    assert!(refused.is_passing(), "{name:?}: {refused:?}");
                    last = Some(refused);
                    None
                }
            }
        });
        if done.is_none() {
            self.give_up(&format!("{name:?} among {selector} ({last:?})"));
        }
    }

    /// The first one that has that name, as a screen reader tells it.
    fn named(&self, selector: &str, name: &str, matches: &dyn Fn(&str, &str) -> bool) -> Option<Element> {
        let found = self.script(words::CANDIDATES, &json!([selector, name])).ok()?;
        let elements = found.as_array()?.iter().filter_map(|one| one[ELEMENT].as_str()).map(|id| Element(id.to_owned()));
        // A label is not in the tree of names.
        elements.into_iter().find(|element| self.label(element).is_some_and(|label| matches(&label, name)))
    }

    fn label(&self, element: &Element) -> Option<String> {
        let label = self.driver.call("GET", &format!("/element/{}/computedlabel", element.0), &Value::Null).ok()?;
        Some(label.as_str()?.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn press_on(&self, element: &Element) -> Result<Value, Refused> {
        self.of(element, "/click", &json!({}))
    }

    fn of(&self, element: &Element, command: &str, body: &Value) -> Result<Value, Refused> {
        self.post(&format!("/element/{}{command}", element.0), body)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        self.driver.call("POST", path, body)
    }

    #[track_caller]
    fn wait<T>(&self, seconds: u64, what: &str, look: impl FnMut() -> Option<T>) -> T {
        until(seconds, look).unwrap_or_else(|| self.give_up(what))
    }

    /// Fails with what the page shows, and keeps a picture of it.
    #[track_caller]
    fn give_up(&self, what: &str) -> ! {
        let picture = kept();
        fs::write(&picture, self.picture(&json!({"format": "png", "captureBeyondViewport": true}))).expect("a file");
        let console = self.complaints();
        panic!(
            "not there: {what}\n--- {} ({})\n{}\n--- console\n{}",
            self.url(),
            picture.display(),
            self.text(),
            console.join("\n")
        )
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let complaints = self.complaints();
            assert!(complaints.is_empty(), "the console complains:\n{}", complaints.join("\n"));
        }
    }
}

fn until<T>(seconds: u64, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() > Duration::from_secs(seconds) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Where the picture of a failed test lies.
fn kept() -> PathBuf {
    let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{name}.png"))
}

/// Makes the authority one that the browser of this home trusts (`certutil(1)`; Chromium reads `.pki/nssdb`).
fn trust(home: &Path, authority: &Path) {
    let store = home.join(".pki/nssdb");
    fs::create_dir_all(&store).expect("a directory");
    let store = format!("sql:{}", store.display());
    let run = |arguments: &[&str]| {
        let done = Command::new("certutil").args(["-d", &store]).args(arguments).output();
        let done = done.expect("the tests in a browser need Debian's package libnss3-tools: 'scripts/setup.sh' installs it");
        assert!(done.status.success(), "certutil: {}", String::from_utf8_lossy(&done.stderr));
    };
    run(&["-N", "--empty-password"]);
    run(&["-A", "-t", "C,,", "-n", "Adaptable", "-i", authority.to_str().expect("a plain path")]);
}
