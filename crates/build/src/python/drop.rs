//! Requirements that can't or needn't be installed on Linux, though files in the wild list them.

/// Why a requirement is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Only for Windows or macOS.
    OtherSystem,
    /// A part of Debian or Ubuntu that `pip freeze` found, not on the package index.
    Distribution,
    /// A part of Python itself.
    Standard,
    /// A part of conda's own environment.
    Conda,
}

impl Why {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::OtherSystem => "it exists only for Windows or macOS",
            Self::Distribution => "it is a part of the Linux distribution that `pip freeze` ran on",
            Self::Standard => "it is a part of Python itself",
            Self::Conda => "it is a part of conda",
        }
    }
}

const OTHER_SYSTEM: [&str; 20] = [
    "comtypes",
    "py2app",
    "py2exe",
    "pypiwin32",
    "pywin",
    "pywin32",
    "pywinauto",
    "pywinpty",
    "tensorflow-intel",
    "tensorflow-macos",
    "tensorflow-metal",
    "twisted-iocpsupport",
    "win-unicode-console",
    "win10toast",
    "wincertstore",
    "windows-curses",
    "winrt",
    "winshell",
    "wmi",
    "pyobjc",
];

const DISTRIBUTION: [&str; 24] = [
    "apt-clone",
    "apturl",
    "brlapi",
    "cloud-init",
    "command-not-found",
    "cupshelpers",
    "defer",
    "distro-info",
    "language-selector",
    "louis",
    "macaroonbakery",
    "pkg-resources",
    "python-apt",
    "python-debian",
    "screen-resolution-extra",
    "ssh-import-id",
    "systemd-python",
    "ubuntu-advantage-tools",
    "ubuntu-drivers-common",
    "ubuntu-pro-client",
    "ufw",
    "unattended-upgrades",
    "usb-creator",
    "xkit",
];

/// Modules of the standard library and old backports that no longer install.
const STANDARD: [&str; 49] = [
    "abc",
    "argparse",
    "asyncio",
    "base64",
    "calendar",
    "cgi",
    "collections",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "email",
    "enum",
    "enum34",
    "functools",
    "functools32",
    "futures",
    "getpass",
    "hashlib",
    "html",
    "http",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "multiprocessing",
    "operator",
    "os",
    "os-sys",
    "pathlib",
    "pickle",
    "random",
    "re",
    "shutil",
    "smtplib",
    "socket",
    "sqlite3",
    "ssl",
    "string",
    "subprocess",
    "sys",
    "threading",
    "time",
    "tkinter",
    "typing",
    "uuid",
];

const STANDARD_MORE: [&str; 7] = ["distribute", "traceback", "unittest", "urllib", "uuid4", "warnings", "wsgiref"];

const CONDA: [&str; 26] = [
    "-libgcc-mutex",
    "-openmp-mutex",
    "anaconda-client",
    "blas",
    "bzip2",
    "ca-certificates",
    "conda",
    "conda-package-handling",
    "icu",
    "intel-openmp",
    "ld-impl-linux-64",
    "libffi",
    "libgcc-ng",
    "libgomp",
    "libstdcxx-ng",
    "menuinst",
    "mkl-service",
    "navigator-updater",
    "ncurses",
    "openssl",
    "python",
    "readline",
    "sqlite",
    "tk",
    "vc",
    "vs2015-runtime",
];

/// Whether a requirement of this (normalised) name is to be left out, and why.
pub(crate) fn why(name: &str, version: Option<&str>) -> Option<Why> {
    let version = version.unwrap_or_default();
    if OTHER_SYSTEM.contains(&name) || name.starts_with("pyobjc-") || name.starts_with("winrt-") {
        Some(Why::OtherSystem)
    } else if DISTRIBUTION.contains(&name) || version.contains("ubuntu") || (version == "0.0.0" && name.starts_with("ubuntu")) {
        Some(Why::Distribution)
    } else if STANDARD.contains(&name) || STANDARD_MORE.contains(&name) {
        Some(Why::Standard)
    } else if CONDA.contains(&name) {
        Some(Why::Conda)
    } else {
        None
    }
}
