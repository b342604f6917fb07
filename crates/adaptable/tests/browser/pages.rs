//! Every page, as people of all kinds meet it: wide and narrow, light and dark, by eye and by ear. `make screenshots` keeps the pictures.

use std::fs;
use std::path::{Path, PathBuf};

use crate::audit::{audit, narrow};
use crate::browser::{Browser, Look};
use crate::furnished::Furnished;

/// Widths that are kept as pictures.
const WIDTHS: [u32; 2] = [1440, 390];

/// What the operator sees, by the names of the pictures.
const PAGES: &[(&str, &str)] = &[
    ("dashboard", "/apps"),
    ("app-status", "/apps/guestbook"),
    ("app-status-tour", "/apps/guestbook?tour=1"),
    ("deployment", "/apps/guestbook/deployments/1"),
    ("deployment-failed", "/apps/newsletter/deployments/1"),
    ("resources", "/apps/guestbook/resources"),
    ("metrics", "/apps/guestbook/metrics"),
    ("settings", "/apps/guestbook/settings"),
    ("settings-yaml", "/apps/guestbook/settings?view=yaml"),
    ("new", "/new"),
    ("new-upload", "/new/upload"),
    ("new-command-line", "/new/command-line"),
    ("operator", "/operator"),
    ("operator-users", "/operator/users"),
    ("operator-github", "/operator/github"),
    ("operator-certificates", "/operator/certificates"),
    ("operator-backups", "/operator/backups"),
    ("operator-audit", "/operator/audit"),
    ("operator-tokens", "/operator/tokens"),
    ("account", "/account"),
    ("help", "/help"),
    ("help-checks", "/help/checks"),
    ("help-settings", "/help/settings"),
    ("help-requirements", "/help/requirements"),
];

/// What has been looked at.
struct Walk {
    pictures: Option<PathBuf>,
    wrong: Vec<String>,
}

impl Walk {
    /// Looks at the page that is open, in every way.
    fn look(&mut self, browser: &Browser, name: &str) {
        let mut found = Vec::new();
        for width in WIDTHS {
            for dark in [false, true] {
                browser.look(Look { width, height: 900, dark });
                let scheme = if dark { "dark" } else { "light" };
                // Colours do not depend on the width; what folds away on a small screen was seen on the wide one.
                if width == WIDTHS[0] {
                    found.extend(audit(browser, scheme));
                }
                if let Some(pictures) = &self.pictures {
                    let file = pictures.join(format!("{name}-{width}-{scheme}.png"));
                    fs::write(&file, browser.whole_picture(width, dark)).expect("a picture");
                }
            }
        }
        found.extend(narrow(browser));
        browser.look(Look::default());
        found.sort();
        found.dedup();
        self.wrong.extend(found.into_iter().map(|words| format!("{name} ({}): {words}", browser.path())));
    }

    fn goto(&mut self, browser: &Browser, name: &str, path: &str) {
        browser.goto(path);
        self.look(browser, name);
    }
}

#[test]
fn every_page_is_open_to_everybody() {
    let pictures = std::env::var_os("ADAPTABLE_SCREENSHOTS").map(PathBuf::from);
    if let Some(pictures) = &pictures {
        clear(pictures);
    }
    let mut walk = Walk { pictures, wrong: Vec::new() };
    let furnished = Furnished::new();
    let stranger = furnished.stranger();
    for (name, path) in [("front", "/"), ("sign-in", "/sign-in")] {
        walk.goto(&stranger, name, path);
    }
    let operator = furnished.operator();
    for (name, path) in PAGES {
        furnished.visit();
        walk.goto(operator, name, path);
    }
    let mut wrong = walk.wrong;
    wrong.dedup();
    assert!(wrong.is_empty(), "{} things:\n{}", wrong.len(), wrong.join("\n"));
}

/// Takes away the pictures of before: a page that is no more leaves none.
fn clear(pictures: &Path) {
    fs::create_dir_all(pictures).expect("a directory");
    for entry in fs::read_dir(pictures).expect("a directory").flatten() {
        if entry.path().extension().is_some_and(|kind| kind == "png") {
            fs::remove_file(entry.path()).expect("our own file");
        }
    }
}
