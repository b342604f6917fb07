//! A walk over pages: each is looked at in every way, and in the end all have to have been looked at. `make screenshots` keeps pictures.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::audit::{audit, barriers, narrow};
use crate::browser::{Browser, Look};

/// Widths that are kept as pictures.
const WIDTHS: [u32; 2] = [1440, 390];
/// The tallest picture: what lies below is more of the same.
const TALL: u32 = 1100;
/// How exact pictures are, of 100: they can be read, and the repository stays small.
const QUALITY: u32 = 20;

/// What begins so is for programs.
const FOR_PROGRAMS: [&str; 5] = ["/api/v1/", "/git/", "/hooks/", "/assets/", "/metrics"];
/// What browsers are given and is no page: streams, files, and what only leads elsewhere.
const NO_PAGES: [&str; 12] = [
    "/api/openapi.json",
    "/apps/{app}/deployments/{number}/stream",
    "/apps/{app}/deployments/{number}/log",
    "/apps/{app}/resources/stream",
    "/apps/{app}/resources/logs/stream",
    "/apps/{app}/logs",
    "/new/{draft}",
    "/new/{draft}/name/free",
    "/operator/certificates/ca.pem",
    "/operator/github/created",
    "/sign-in/github/callback",
    "/sign-in/github/install",
];

/// What has been looked at.
pub(crate) struct Walk {
    began: Instant,
    pictures: Option<PathBuf>,
    names: BTreeSet<String>,
    paths: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Walk {
    /// A new one. Where pictures are kept, those of before go.
    pub(crate) fn begin() -> Self {
        let pictures = std::env::var_os("ADAPTABLE_SCREENSHOTS").map(PathBuf::from);
        if let Some(pictures) = &pictures {
            clear(pictures);
        }
        Self { began: Instant::now(), pictures, names: BTreeSet::new(), paths: BTreeSet::new(), wrong: Vec::new() }
    }

    /// Opens a page and looks at it.
    #[track_caller]
    pub(crate) fn goto(&mut self, browser: &Browser, name: &str, path: &str) {
        browser.goto(path);
        self.look(browser, name);
    }

    /// Looks at the page that is open, in every way.
    #[track_caller]
    pub(crate) fn look(&mut self, browser: &Browser, name: &str) {
        assert!(self.names.insert(name.to_owned()), "two pages are called {name}");
        let path = browser.path();
        assert!(path.starts_with('/'), "{name}: {path} is not a page of the platform");
        let mut found = audit(browser);
        for dark in [false, true] {
            browser.look(Look { width: WIDTHS[0], height: 900, dark });
            // Colours do not depend on the width; what folds away on a small screen is seen on the wide one.
            found.extend(barriers(browser, dark));
            self.keep(browser, name, dark);
        }
        found.extend(narrow(browser));
        browser.look(Look::default());
        self.wrong.extend(found.into_iter().map(|words| format!("{name} ({path}): {words}")));
        self.paths.insert(path.split(['?', '#']).next().unwrap_or_default().to_owned());
    }

    /// Keeps pictures of the whole page.
    fn keep(&self, browser: &Browser, name: &str, dark: bool) {
        let Some(pictures) = &self.pictures else { return };
        for width in WIDTHS {
            browser.look(Look { width, height: 844, dark });
            let high = browser
                .script("scrollTo(0, 0); return Math.ceil(document.scrollingElement.scrollHeight)", &json!([]))
                .unwrap_or_default();
            let height = high.as_u64().and_then(|high| u32::try_from(high).ok()).unwrap_or(TALL).min(TALL);
            browser.look(Look { width, height, dark });
            let picture = browser.picture(&json!({"format": "webp", "quality": QUALITY}));
            let scheme = if dark { "dark" } else { "light" };
            fs::write(pictures.join(format!("{name}-{width}-{scheme}.webp")), picture).expect("a file");
        }
    }

    /// Fails where something was wrong, or was left out.
    #[track_caller]
    #[expect(clippy::print_stdout, reason = "how long it took is worth a line")]
    pub(crate) fn end(mut self) {
        println!("{} pages were looked at in {:.0?}", self.names.len(), self.began.elapsed());
        self.wrong.dedup();
        self.wrong.extend(unseen(&self.paths).into_iter().map(|path| format!("nobody has looked at {path}")));
        assert!(self.wrong.is_empty(), "{} things:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

/// The pages of the platform's table of routes that are not among these.
fn unseen(paths: &BTreeSet<String>) -> Vec<String> {
    let routes: BTreeSet<String> =
        web::routes().into_iter().filter(|route| route.method == "GET").map(|route| route.path).collect();
    for path in NO_PAGES {
        assert!(routes.contains(path), "there is no {path}, which is left out");
    }
    let mut pages: BTreeSet<&String> = routes.iter().collect();
    pages.retain(|path| !NO_PAGES.contains(&path.as_str()) && !FOR_PROGRAMS.iter().any(|prefix| path.starts_with(prefix)));
    for path in paths {
        // As the router has it: what is written out goes before what has a name.
        let matching = routes.iter().filter(|route| matches(route, path));
        if let Some(route) = matching.min_by_key(|route| route.matches('{').count()) {
            pages.remove(route);
        }
    }
    pages.into_iter().cloned().collect()
}

fn matches(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len() && route.iter().zip(&path).all(|(part, given)| part == given || part.starts_with('{'))
}

/// Takes away the pictures of before: a page that is no more leaves none.
fn clear(pictures: &Path) {
    fs::create_dir_all(pictures).expect("a directory");
    for entry in fs::read_dir(pictures).expect("a directory").flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "webp") {
            fs::remove_file(entry.path()).expect("our own file");
        }
    }
}
