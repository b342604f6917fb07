//! The variables of a build's jobs and of its image.

use std::collections::BTreeMap;

use crate::host::HostSettings;
use crate::plan::{APP_DIR, Plan, Step, VENV_DIR};

/// Where package clients keep what they fetched, across an app's builds.
pub(super) const CACHE_DIR: &str = "/var/cache/build";
/// The directories of programs; those of the app's dependencies come first.
const PATH: &str = "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables that a build's own must not change: the build would break, or leave files where nobody looks.
const FIXED: [&str; 7] = ["PATH", "HOME", "VIRTUAL_ENV", "UV_CACHE_DIR", "UV_PROJECT_ENVIRONMENT", "PIP_CACHE_DIR", "TMPDIR"];

/// What every job sees.
fn job(host: &HostSettings) -> BTreeMap<String, String> {
    let mut env = host.env.clone();
    let ours = [
        ("CI", "1".to_owned()),
        ("DEBIAN_FRONTEND", "noninteractive".to_owned()),
        ("HOME", "/tmp".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PATH", PATH.to_owned()),
        ("PIP_CACHE_DIR", format!("{CACHE_DIR}/pip")),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1".to_owned()),
        ("PIP_NO_INPUT", "1".to_owned()),
        ("PIP_PROGRESS_BAR", "off".to_owned()),
        ("PIP_ROOT_USER_ACTION", "ignore".to_owned()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("TMPDIR", "/tmp".to_owned()),
        ("UV_CACHE_DIR", format!("{CACHE_DIR}/uv")),
        ("UV_LINK_MODE", "copy".to_owned()),
        ("UV_NO_PROGRESS", "1".to_owned()),
        ("UV_PROJECT_ENVIRONMENT", VENV_DIR.to_owned()),
        ("UV_PYTHON_DOWNLOADS", "never".to_owned()),
        ("VIRTUAL_ENV", VENV_DIR.to_owned()),
    ];
    env.extend(ours.map(|(name, value)| (name.to_owned(), value)));
    env
}

/// The environment of a step: the job's own, the app's variables for builds, what the step says itself.
pub(super) fn step(host: &HostSettings, build_env: &BTreeMap<String, String>, step: &Step) -> Vec<(String, String)> {
    let mut env = job(host);
    env.extend(
        build_env.iter().filter(|(name, _)| !FIXED.contains(&name.as_str())).map(|(name, value)| (name.clone(), value.clone())),
    );
    env.extend(step.env.clone());
    env.into_iter().collect()
}

/// The image's variables: what the plan says, over what every image has.
pub(super) fn image(plan: &Plan) -> Vec<(String, String)> {
    let mut env = BTreeMap::from([
        ("HOME".to_owned(), APP_DIR.to_owned()),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("PATH".to_owned(), PATH.to_owned()),
        ("VIRTUAL_ENV".to_owned(), VENV_DIR.to_owned()),
    ]);
    env.extend(plan.env.clone());
    env.into_iter().collect()
}

/// Takes the values of the app's variables out of a line of a log.
pub(super) fn redact(line: &str, build_env: &BTreeMap<String, String>) -> String {
    let mut text = line.to_owned();
    // Short values are words that occur anywhere: "1", "true", "production".
    for value in build_env.values().filter(|value| value.len() >= 8) {
        text = text.replace(value.as_str(), "[hidden]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_apps_variables_reach_the_step_but_cannot_move_the_build() {
        let app = BTreeMap::from([("PATH".to_owned(), "/evil".to_owned()), ("TOKEN".to_owned(), "t".to_owned())]);
        let wanted = Step {
            name: String::new(),
            args: Vec::new(),
            env: BTreeMap::from([("UV_LINK_MODE".to_owned(), "hardlink".to_owned())]),
            fatal: true,
        };
        let env: BTreeMap<_, _> = step(&HostSettings::default(), &app, &wanted).into_iter().collect();
        assert_eq!(env["PATH"], PATH);
        assert_eq!(env["TOKEN"], "t");
        assert_eq!(env["UV_LINK_MODE"], "hardlink");
    }

    #[test]
    fn values_of_variables_stay_out_of_the_log() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "hunter2hunter2".to_owned()), ("MODE".to_owned(), "prod".to_owned())]);
        assert_eq!(redact("fetching https://x:hunter2hunter2@host in prod", &env), "fetching https://x:[hidden]@host in prod");
    }
}
