//! Which Debian packages a stack is made of.

use super::Release;

/// What an app finds at run time: Python, the authorities, and the libraries that nearly every wheel or database driver loads.
const RUN: [&str; 11] = [
    "ca-certificates",
    "libgomp1",
    "libmagic1",
    "libmariadb3",
    "libpq5",
    "libstdc++6",
    "media-types",
    "netbase",
    "python3",
    "tzdata",
    "zlib1g",
];

/// What builds find in addition: compilers, tools, and the headers that most packages with C extensions ask for.
const BUILD: [&str; 31] = [
    "bzip2",
    "curl",
    "default-libmysqlclient-dev",
    "file",
    "g++",
    "gcc",
    "git",
    "libbz2-dev",
    "libc6-dev",
    "libffi-dev",
    "libfreetype-dev",
    "libjpeg-dev",
    "libldap-dev",
    "liblzma-dev",
    "libpq-dev",
    "libsasl2-dev",
    "libsqlite3-dev",
    "libssl-dev",
    "libxml2-dev",
    "libxslt1-dev",
    "libyaml-dev",
    "make",
    "patch",
    "pkg-config",
    "python3-dev",
    "python3-pip",
    "python3-venv",
    "unzip",
    "xz-utils",
    "zip",
    "zlib1g-dev",
];

/// The packages of the running system.
pub(super) fn run(release: &Release) -> Vec<&'static str> {
    let mut packages = RUN.to_vec();
    match release.as_str() {
        "bookworm" | "bullseye" => packages.push("python3-distutils"),
        _ => {}
    }
    packages
}

/// The packages builds find in addition.
pub(super) fn build(release: &Release) -> Vec<&'static str> {
    let mut packages = BUILD.to_vec();
    if release.as_str() == "bullseye" {
        // Named after its version there.
        packages.retain(|package| *package != "libldap-dev");
        packages.push("libldap2-dev");
    }
    packages
}
