//! Makes a stack, as root: Debian's own packages from Debian's own mirrors, in a directory that appears whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::HashWriter;
use image::layers::{LayerBlob, LayerKey};

use super::chroot::{Chroot, bound, run};
use super::{BLOB, FORMAT, Release, Stack, Stacks, build_id, packages};
use crate::host::HostSettings;
use crate::plan::{APP_DIR, PLAN_DIR, PyVersion, VENV_DIR};

/// Why a stack could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Not root.
    #[error("making a stack needs root: run it with sudo")]
    NotRoot,
    /// The file system refused.
    #[error("{doing} {path} failed")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Something could not be started.
    #[error("{doing} failed")]
    Program {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A program ended badly.
    #[error("{doing} failed ({status}); its last lines:\n{tail}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// How it ended.
        status: String,
        /// Its last lines.
        tail: String,
    },
    /// The release has no Python we can use.
    #[error("{0} has no Python 3 at /usr/bin")]
    NoPython(Release),
}

/// What a stack's making tells: the release, what is being done, a line of its output.
pub type Progress<'a> = dyn Fn(&Release, &str, &str) + Sync + 'a;

/// Progress of one release.
pub(super) struct Report<'a> {
    release: &'a Release,
    progress: &'a Progress<'a>,
}

impl Report<'_> {
    pub(super) fn line(&self, doing: &str, line: &str) {
        (self.progress)(self.release, doing, line);
    }
}

/// Makes those of the releases that are missing, side by side. With `anew`, makes all of them (for Debian's security updates).
pub fn make(
    dir: &Path,
    releases: &[Release],
    anew: bool,
    host: &HostSettings,
    progress: &Progress<'_>,
) -> Result<Vec<Stack>, MakeError> {
    let present = Stacks::new(dir).all().map_err(io_error("reading", dir))?;
    let found = |release: &Release| present.iter().find(|stack| stack.release == *release);
    if !anew && let Some(stacks) = releases.iter().map(|release| found(release).cloned()).collect::<Option<Vec<_>>>() {
        return Ok(stacks);
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(MakeError::NotRoot);
    }
    fs::create_dir_all(dir).map_err(io_error("making", dir))?;
    fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).map_err(io_error("opening", dir))?;
    std::thread::scope(|scope| {
        // Each on a thread of its own: a thread enters a mount namespace that must end with it.
        let threads: Vec<_> = releases
            .iter()
            .map(|release| scope.spawn(move || make_one(dir, release, anew, host, &Report { release, progress })))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn make_one(dir: &Path, release: &Release, anew: bool, host: &HostSettings, report: &Report<'_>) -> Result<Stack, MakeError> {
    let asked = SystemTime::now();
    let lock_path = dir.join(format!(".{release}.lock"));
    let lock = File::create(&lock_path).map_err(io_error("making", &lock_path))?;
    lock.lock().map_err(io_error("locking", &lock_path))?;
    // Somebody else may have made it while we waited.
    let present = Stacks::new(dir).all().map_err(io_error("reading", dir))?.into_iter().find(|stack| stack.release == *release);
    if let Some(stack) = present.filter(|stack| !anew || stack.made_at >= seconds(asked)) {
        return Ok(stack);
    }
    let begun = Instant::now();
    let scratch = dir.join(format!(".{release}.making"));
    remove(&scratch)?;
    for name in ["run", "build", "work", "merged"] {
        let path = scratch.join(name);
        fs::create_dir_all(&path).map_err(io_error("making", &path))?;
        // An overlay's root takes its mode from its upper directory.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).map_err(io_error("opening", &path))?;
    }
    let fs_dir = scratch.join("run");
    debootstrap(&scratch, &fs_dir, release, host, report)?;
    tidy_run(&fs_dir)?;
    let pythons = pythons(&fs_dir)?;
    if pythons.is_empty() {
        return Err(MakeError::NoPython(release.clone()));
    }
    // Packing and the compilers' installation read the same directory and write to different ones.
    let (blob, tools) = std::thread::scope(|scope| {
        let tools = scope.spawn(|| install_tools(&scratch, release, host, report));
        let blob = pack(&fs_dir, &scratch.join(BLOB), report);
        (blob, tools.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (blob, uv) = (blob?, tools?);
    let build_packages = installed(&scratch.join("build"))?;
    // The id names what is in both layers, so that a stack of the same name is the same.
    let versions = build_packages.iter().map(|(name, version)| format!("{name}={version}"));
    let content = LayerKey::of(versions.chain([blob.diff_id.to_string(), uv.clone()]));
    let stack = Stack {
        format: FORMAT,
        id: format!("{release}-{}", &content.as_str()[..12]),
        release: release.clone(),
        pythons,
        blob,
        made_at: seconds(SystemTime::now()),
        packages: installed(&fs_dir)?,
        build_packages,
        uv,
    };
    publish(dir, &scratch, &stack)?;
    report.line("done", &format!("{} with Python {} in {} s", stack.id, names(&stack.pythons), begun.elapsed().as_secs()));
    Ok(stack)
}

fn debootstrap(
    scratch: &Path,
    target: &Path,
    release: &Release,
    host: &HostSettings,
    report: &Report<'_>,
) -> Result<(), MakeError> {
    let conf = scratch.join("apt.conf");
    fs::write(&conf, host.apt_conf()).map_err(io_error("writing", &conf))?;
    let mut command = bound("mmdebstrap");
    command
        .args(["--variant=apt", "--mode=root", "--format=directory"])
        .arg(format!("--include={}", packages::run(release).join(",")))
        .arg(format!("--aptopt={}", conf.display()))
        .args(["--aptopt=APT::Install-Recommends \"false\"", "--dpkgopt=force-unsafe-io"])
        .args(
            ["man", "info", "doc", "locale", "groff", "lintian", "linda"]
                .map(|dir| format!("--dpkgopt=path-exclude=/usr/share/{dir}/*")),
        )
        .arg("--dpkgopt=path-include=/usr/share/doc/*/copyright")
        .arg(release.as_str())
        .arg(target);
    run("installing the base system", command, report).map(drop)
}

/// Leaves nothing of this machine in the stack, and makes what sandboxes mount on.
fn tidy_run(root: &Path) -> Result<(), MakeError> {
    remove(&root.join("etc/apt/apt.conf.d/99mmdebstrap"))?;
    for dir in [APP_DIR, VENV_DIR, PLAN_DIR] {
        let path = root.join(dir.trim_start_matches('/'));
        fs::create_dir_all(&path).map_err(io_error("making", &path))?;
    }
    let files: [(&str, &str, u32); 6] = [
        ("etc/resolv.conf", "", 0o644),
        ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644),
        ("etc/hostname", "localhost\n", 0o644),
        ("etc/machine-id", "", 0o444),
        ("etc/apt/apt.conf.d/01stack", "APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n", 0o644),
        // Packages are installed for their files; no service is to be started.
        ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755),
    ];
    for (name, text, mode) in files {
        let path = root.join(name);
        remove(&path)?;
        fs::write(&path, text).map_err(io_error("writing", &path))?;
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(io_error("writing", &path))?;
    }
    for dir in ["var/log", "var/cache/apt", "var/cache/debconf", "tmp"] {
        empty(&root.join(dir))?;
    }
    let partial = root.join("var/cache/apt/archives/partial");
    fs::create_dir_all(&partial).map_err(io_error("making", &partial))
}

/// Installs compilers, headers and uv into a layer above; returns uv's version.
fn install_tools(scratch: &Path, release: &Release, host: &HostSettings, report: &Report<'_>) -> Result<String, MakeError> {
    let merged = scratch.join("merged");
    let upper = scratch.join("build");
    let inside = Chroot::overlay(&scratch.join("run"), &upper, &scratch.join("work"), &merged, host)?;
    let conf = merged.join("etc/apt/apt.conf.d/90host");
    fs::write(&conf, host.apt_conf()).map_err(io_error("writing", &conf))?;
    let mut update = inside.command("apt-get");
    update.args(["--quiet", "update"]);
    run("reading package lists", update, report)?;
    let mut install = inside.command("apt-get");
    install.args(["--quiet", "--yes", "install"]).args(packages::build(release));
    run("installing compilers and headers", install, report)?;
    let mut uv = inside.command("python3");
    uv.args(["-m", "pip", "install", "--no-cache-dir", "--no-compile", "--disable-pip-version-check", "uv"])
        .env("PIP_BREAK_SYSTEM_PACKAGES", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore");
    run("installing uv", uv, report)?;
    let mut version = inside.command("uv");
    version.arg("--version");
    let version = run("asking uv for its version", version, report)?;
    remove(&conf)?;
    for dir in ["var/log", "var/cache/apt", "var/cache/debconf", "var/lib/apt/lists", "tmp", "root"] {
        empty(&merged.join(dir))?;
    }
    Ok(version.lines().last().unwrap_or_default().to_owned())
}

/// Packs a root directory in a fixed order into a blob of an image.
fn pack(root: &Path, blob: &Path, report: &Report<'_>) -> Result<LayerBlob, MakeError> {
    report.line("packing the base system", "");
    let failed = |source| MakeError::Program { doing: "packing the base system", source };
    let mut tar = Command::new("tar")
        .args(["--create", "--sort=name", "--numeric-owner", "--xattrs", "--format=pax"])
        .args(["--pax-option=delete=atime,delete=ctime", "--file=-", "--directory"])
        .arg(root)
        .arg(".")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let file = File::create(blob).map_err(io_error("making", blob))?;
    let mut writer = HashWriter::new(GzEncoder::new(HashWriter::new(file), Compression::fast()));
    let mut output = tar.stdout.take().expect("it was asked for");
    io::copy(&mut output, &mut writer).map_err(failed)?;
    let status = tar.wait().map_err(failed)?;
    if !status.success() {
        return Err(MakeError::Failed { doing: "packing the base system", status: status.to_string(), tail: String::new() });
    }
    let (encoder, diff_id, _) = writer.finish();
    let (file, digest, size) = encoder.finish().map_err(failed)?.finish();
    file.sync_all().map_err(failed)?;
    fs::set_permissions(blob, PermissionsExt::from_mode(0o644)).map_err(io_error("opening", blob))?;
    Ok(LayerBlob { digest, diff_id, size })
}

/// Moves a made stack to its name: first the build layer, last the directory with the description, which alone counts.
fn publish(dir: &Path, scratch: &Path, stack: &Stack) -> Result<(), MakeError> {
    if super::read(&dir.join(&stack.id)).is_some() {
        // The very same content is there already, and may be in use.
        return remove(scratch);
    }
    let json = serde_json::to_vec_pretty(stack).expect("a description has string keys");
    let run = scratch.join("run");
    let handle = File::open(&run).map_err(io_error("opening", &run))?;
    for (from, id, whole) in [("build", build_id(&stack.id), false), ("run", stack.id.clone(), true)] {
        let staged = scratch.join(&id);
        fs::create_dir_all(&staged).map_err(io_error("making", &staged))?;
        fs::set_permissions(&staged, PermissionsExt::from_mode(0o755)).map_err(io_error("opening", &staged))?;
        let from = scratch.join(from);
        fs::rename(&from, staged.join("fs")).map_err(io_error("moving", &from))?;
        if whole {
            fs::rename(scratch.join(BLOB), staged.join(BLOB)).map_err(io_error("moving", scratch))?;
            fs::write(staged.join("meta.json"), &json).map_err(io_error("writing", &staged))?;
        }
        // dpkg wrote without waiting for the disk; now is the time to wait, once.
        nix::unistd::syncfs(&handle).map_err(|errno| io_error("writing", &staged)(errno.into()))?;
        let target = dir.join(&id);
        remove(&target)?;
        fs::rename(&staged, &target).map_err(io_error("moving", &staged))?;
    }
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(io_error("writing", dir))?;
    remove(scratch)
}

/// The Pythons of a root directory.
fn pythons(root: &Path) -> Result<Vec<PyVersion>, MakeError> {
    let bin = root.join("usr/bin");
    let mut pythons = Vec::new();
    for entry in fs::read_dir(&bin).map_err(io_error("reading", &bin))? {
        let name = entry.map_err(io_error("reading", &bin))?.file_name();
        let minor = name.to_str().and_then(|name| name.strip_prefix("python3.")).and_then(|minor| minor.parse().ok());
        pythons.extend(minor.map(|minor| PyVersion::new(3, minor)));
    }
    pythons.sort_unstable();
    Ok(pythons)
}

fn names(pythons: &[PyVersion]) -> String {
    pythons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// dpkg's own list of what is installed in a root directory, with versions.
fn installed(root: &Path) -> Result<BTreeMap<String, String>, MakeError> {
    let path = root.join("var/lib/dpkg/status");
    let status = fs::read_to_string(&path).map_err(io_error("reading", &path))?;
    Ok(parse_status(&status))
}

pub(super) fn parse_status(status: &str) -> BTreeMap<String, String> {
    let field = |paragraph: &str, name: &str| {
        paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(|value| value.trim().to_owned()))
    };
    status
        .split("\n\n")
        .filter(|paragraph| field(paragraph, "Status").is_some_and(|status| status.ends_with(" installed")))
        .filter_map(|paragraph| Some((field(paragraph, "Package")?, field(paragraph, "Version")?)))
        .collect()
}

fn remove(path: &Path) -> Result<(), MakeError> {
    let removed = if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("deleting", path)(error)),
        _ => Ok(()),
    }
}

fn empty(dir: &Path) -> Result<(), MakeError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        remove(&entry.map_err(io_error("reading", dir))?.path())?;
    }
    Ok(())
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> MakeError + 'a {
    move |source| MakeError::Io { doing, path: path.to_owned(), source }
}
