//! Every page, as people of all kinds meet it: wide and narrow, light and dark, by eye and by ear.

use crate::furnished::Furnished;
use crate::scenes;
use crate::walk::Walk;

/// What the operator sees, by the names of the pictures.
const PAGES: &[(&str, &str)] = &[
    ("app-status", "/apps/guestbook"),
    ("app-status-new", "/apps/guestbook?deployed=3"),
    ("app-status-tour", "/apps/guestbook?tour=1"),
    ("app-status-failed", "/apps/newsletter"),
    ("app-status-paused", "/apps/intranet"),
    ("app-status-asleep", "/apps/quarterly-report-generator-for-the-board"),
    ("deployment", "/apps/guestbook/deployments/3"),
    ("deployment-failed", "/apps/newsletter/deployments/1"),
    ("deployment-step", "/apps/newsletter/deployments/1?step=start"),
    ("resources", "/apps/guestbook/resources"),
    ("resources-asleep", "/apps/quarterly-report-generator-for-the-board/resources"),
    ("settings", "/apps/guestbook/settings"),
    ("settings-yaml", "/apps/guestbook/settings?view=yaml"),
    ("new", "/new"),
    ("new-upload", "/new/upload"),
    ("new-command-line", "/new/command-line"),
    ("operator-users", "/operator/users"),
    ("operator-github", "/operator/github"),
    ("operator-tokens", "/operator/tokens"),
    ("operator-certificates", "/operator/certificates"),
    ("operator-backups", "/operator/backups"),
    ("operator-audit", "/operator/audit"),
    ("help", "/help"),
    ("help-requirements", "/help/requirements"),
    ("help-requirement", "/help/requirements/install-a-wsgi-server"),
    ("help-checks", "/help/checks"),
    ("help-check", "/help/checks/start-target"),
    ("help-failures", "/help/failures"),
    ("help-failure", "/help/failures/missing-package"),
    ("help-settings", "/help/settings"),
    ("help-setting", "/help/settings/startCommand"),
    ("help-error", "/help/errors/app_not_found"),
    ("api", "/api/docs"),
    ("api-platform", "/api/docs/platform"),
    ("api-apps", "/api/docs/apps"),
    ("api-deployments", "/api/docs/deployments"),
    ("api-settings", "/api/docs/settings"),
    ("api-databases", "/api/docs/databases"),
    ("api-github", "/api/docs/github"),
    ("api-logs", "/api/docs/logs-and-figures"),
    ("api-access", "/api/docs/access"),
    ("api-documents", "/api/docs/documents"),
    ("metrics-none", "/apps/intranet/metrics"),
    ("metrics-day", "/apps/guestbook/metrics?range=24h"),
    ("metrics", "/apps/guestbook/metrics"),
];

#[test]
fn every_page_is_open_to_everybody() {
    let mut walk = Walk::begin();
    let world = Furnished::new();
    scenes::nobody(&mut walk, &world);
    world.begin();
    let operator = world.operator();
    scenes::nothing(&mut walk, operator);
    world.furnish();
    scenes::wizard(&mut walk, &world);
    scenes::people(&mut walk, &world);
    scenes::once(&mut walk, operator);
    scenes::mistakes(&mut walk, operator);
    for (at, (name, path)) in PAGES.iter().enumerate() {
        // More at times, less at others: what plots would show.
        for _ in 0..=at * 5 % 13 {
            world.visit();
        }
        walk.goto(operator, name, path);
    }
    walk.end();
}
