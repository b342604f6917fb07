//! One program with all targets, so that it is linked once; the variable `FUZZ_TARGET` says which one runs.
#![no_main]

use std::sync::OnceLock;

use build::plan::{Available, PlanRequest, PyVersion};
use build::procfile::Procfile;
use build::tree::MemoryTree;
use libfuzzer_sys::fuzz_target;

/// A target and what it is for; `scripts/fuzz.sh` reads the names here.
const TARGETS: &[(&str, fn(&[u8]))] = &[
    // What visitors send.
    ("http1", edge::fuzzing::http1),
    ("http2", edge::fuzzing::http2),
    ("host", |bytes| text(bytes, edge::fuzzing::host)),
    // What apps answer.
    ("response", edge::fuzzing::response),
    // What is deployed: the canonical tar, its names, names in git, and every file that the planner reads.
    ("tarball", tarball),
    ("names", |bytes| text(bytes, names)),
    ("plan", plan),
    ("procfile", procfile),
    // What registries send, and how people name what is in them.
    ("image", |bytes| text(bytes, reference)),
    ("manifest", manifest),
    // What says that it is GitHub.
    ("webhook", webhook),
    // What the API takes.
    ("settings", |bytes| text(bytes, settings)),
    ("api", documents),
];

type Target = fn(&[u8]);

static CHOSEN: OnceLock<Target> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    CHOSEN.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(target, _)| *target == name);
        found.unwrap_or_else(|| panic!("FUZZ_TARGET={name:?} is none of the targets")).1
    })(bytes);
});

fn text(bytes: &[u8], read: impl Fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
}

/// An upload: whatever it is, it is checked or refused, and what was checked is read back as it is.
fn tarball(bytes: &[u8]) {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let place = PLACE.get_or_init(|| tempfile::tempdir().expect("a directory of one's own"));
    let dest = place.path().join("tree.tar");
    let limits = source::Limits { bytes: 1 << 20, files: 100 };
    if let Ok(received) = source::receive(bytes, &limits, &dest) {
        let again = std::fs::File::open(&dest).expect("what was received");
        let second = place.path().join("again.tar");
        let repeated = source::receive(again, &limits, &second).expect("a canonical tar is taken again");
        assert_eq!(received.digest_hex(), repeated.digest_hex(), "and is the same");
        let _removed = std::fs::remove_file(&second);
    }
    let _removed = std::fs::remove_file(&dest);
}

/// An image's name: what was understood is written so that it is understood the same way, and leads nowhere else in a URL.
fn reference(text: &str) {
    if let Ok(reference) = image::registry::Reference::parse(text) {
        let whole = reference.to_string();
        assert_eq!(image::registry::Reference::parse(&whole).as_ref(), Ok(&reference));
        assert!(whole.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\\"' ".contains(&byte)));
        // Two dots may stand within a tag, but nowhere as a whole segment.
        assert!(whole.split(['/', '@']).all(|part| !matches!(part, "" | "." | "..")));
    }
}

/// A manifest or an index: an image's layers, or what there is for a platform; errors are one short line.
fn manifest(bytes: &[u8]) {
    match image::registry::parse_manifest(bytes) {
        Ok(image::registry::Document::Index(parts)) => {
            if let image::registry::Chosen::None(offered) = image::registry::choose(&parts, &image::oci::Platform::host()) {
                assert!(offered.len() < 1000 && !offered.contains('\n'));
            }
        }
        Ok(image::registry::Document::Image(parts)) => assert!(parts.layers.iter().all(|part| !part.media_type.is_empty())),
        Err(why) => assert!(!why.contains('\n')),
    }
}

/// Deliveries: a byte that names an event, then its body, or a signature up to a zero. Errors are one short line, a name leads nowhere else, and
/// nobody guesses a signature.
fn webhook(bytes: &[u8]) {
    const EVENTS: [&str; 8] = [
        "push",
        "installation",
        "installation_repositories",
        "repository",
        "installation_target",
        "github_app_authorization",
        "ping",
        "fork",
    ];
    let Some((event, body)) = bytes.split_first() else { return };
    match github::parse(EVENTS[usize::from(*event) % EVENTS.len()], body) {
        Ok(github::Event::Push(push)) => {
            let name = push.repository.name.as_str();
            assert!(name.split('/').count() == 2 && name.split('/').all(|part| !matches!(part, "" | "." | "..")));
            assert!(push.after.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
        Ok(_) => {}
        Err(error) => {
            let error = error.to_string();
            assert!(error.len() < 1200 && !error.contains('\n'));
        }
    }
    let secret = github::Secret::new("It's a Secret to Everybody");
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let signature = parts.next().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let body = parts.next().unwrap_or_default();
    if github::verify(&secret, signature, body).is_ok() {
        assert_eq!(signature.map(str::to_ascii_lowercase), Some(github::sign(&secret, body)));
    }
    assert!(github::verify(&github::Secret::default(), signature, body).is_err());
}

/// Names that become paths and arguments.
fn names(text: &str) {
    if let Ok(path) = source::TreePath::parse(text) {
        assert!(path.as_path().is_relative() && path.as_path().components().all(|part| matches!(part, std::path::Component::Normal(_))));
    }
    if let Ok(name) = source::git::GitRef::parse(text) {
        assert!(!name.as_str().starts_with('-') && !name.as_str().contains(".."));
        assert_eq!(source::git::GitRef::parse(name.as_str()).as_ref(), Ok(&name));
    }
    if let Ok(commit) = source::git::CommitId::parse(text) {
        assert!(commit.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let (rest, query) = text.split_once('?').map_or((text, None), |(rest, query)| (rest, Some(query)));
    let _service = source::git::Service::of(rest, query);
    let _app = model::AppName::parse(text);
    let _variable = model::EnvName::parse(text);
}

/// The files that the planner looks for.
const FILES: [&str; 16] = [
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "setup.py",
    "setup.cfg",
    "environment.yml",
    "Procfile",
    "runtime.txt",
    ".python-version",
    "Aptfile",
    "app.py",
    "manage.py",
    "start.sh",
];

/// A source tree: after a byte that names a file come its bytes up to a zero.
fn plan(bytes: &[u8]) {
    let files = bytes.split(|byte| *byte == 0).filter_map(|file| {
        let (name, contents) = file.split_first()?;
        Some((FILES[usize::from(*name) % FILES.len()], contents.to_vec()))
    });
    let tree: MemoryTree = files.collect();
    let available = Available { pythons: vec![PyVersion::new(3, 9), PyVersion::new(3, 11), PyVersion::new(3, 13)] };
    let _plan = build::plan(&tree, &PlanRequest::default(), &available);
}

fn procfile(bytes: &[u8]) {
    let _procfile = Procfile::parse(bytes);
    text(bytes, |line| {
        let _command = build::shell::prepare(line);
        let quoted = build::shell::quote(line);
        assert!(!line.is_empty() || !quoted.is_empty(), "nothing is quoted as nothing");
    });
}

/// The settings document: what was read and is valid survives being written.
fn settings(text: &str) {
    if let Ok(settings) = serde_saphyr::from_str::<model::Settings>(text)
        && settings.violations().is_empty()
    {
        let written = serde_json::to_string(&settings).expect("settings are written as JSON");
        let read: model::Settings = serde_json::from_str(&written).expect("and read again");
        assert_eq!(read, settings);
    }
}

/// The bodies of the API.
fn documents(bytes: &[u8]) {
    let _deploy = serde_json::from_slice::<api::DeployRequest>(bytes);
    let _token = serde_json::from_slice::<api::NewToken>(bytes);
    let _settings = serde_json::from_slice::<model::Settings>(bytes);
    let _error = serde_json::from_slice::<api::ErrorDocument>(bytes);
    let _event = serde_json::from_slice::<api::Event>(bytes);
}
