//! Why an installation failed, read from the end of its log.

use super::Explanation;

/// Headers and programs whose absence stops a compiler, and the Debian package that has them.
const HEADERS: [(&str, &str); 30] = [
    ("libpq-fe.h", "libpq-dev"),
    ("pg_config", "libpq-dev"),
    ("mysql.h", "default-libmysqlclient-dev"),
    ("mysql_config", "default-libmysqlclient-dev"),
    ("libxml/", "libxml2-dev"),
    ("xml2-config", "libxml2-dev"),
    ("libxslt", "libxslt1-dev"),
    ("ffi.h", "libffi-dev"),
    ("openssl/", "libssl-dev"),
    ("jpeglib.h", "libjpeg-dev"),
    ("zlib.h", "zlib1g-dev"),
    ("cairo.h", "libcairo2-dev"),
    ("pango", "libpango1.0-dev"),
    ("lber.h", "libldap-dev"),
    ("ldap.h", "libldap-dev"),
    ("sasl/sasl.h", "libsasl2-dev"),
    ("sql.h", "unixodbc-dev"),
    ("sqlfront.h", "freetds-dev"),
    ("curl/curl.h", "libcurl4-openssl-dev"),
    ("curl-config", "libcurl4-openssl-dev"),
    ("portaudio.h", "portaudio19-dev"),
    ("gdal", "libgdal-dev"),
    ("hdf5.h", "libhdf5-dev"),
    ("xmlsec", "libxmlsec1-dev"),
    ("snappy-c.h", "libsnappy-dev"),
    ("magic.h", "libmagic-dev"),
    ("gmp.h", "libgmp-dev"),
    ("unicode/", "libicu-dev"),
    ("krb5", "libkrb5-dev"),
    ("cmake", "cmake"),
];

/// Explains a failed installation, if the end of its log is of a kind that is known.
pub fn build_failure(log_tail: &str) -> Option<Explanation> {
    let lower = log_tail.to_lowercase();
    missing_header(log_tail)
        .or_else(|| hashes(&lower))
        .or_else(|| memory_or_disk(&lower))
        .or_else(|| python_2(log_tail))
        .or_else(|| build_module(log_tail))
        .or_else(|| resolution(log_tail, &lower))
        .or_else(|| network(log_tail, &lower))
        .or_else(|| compiler(&lower))
        .or_else(|| not_built(log_tail))
}

fn line_with<'a>(log: &'a str, needle: &str) -> Option<&'a str> {
    log.lines()
        .rev()
        .find(|line| line.contains(needle))
        .map(|line| line.trim().trim_start_matches(['×', '╰', '─', '▶', '├', '│', ' ']))
}

fn missing_header(log: &str) -> Option<Explanation> {
    let line = log.lines().find(|line| {
        line.contains("fatal error:") && line.contains("No such file")
            || line.contains("executable not found")
            || line.contains("config: not found")
            || line.contains("command not found")
            || line.contains("Could not find ") && line.contains("config")
            || line.contains("No package '")
            || line.contains("Package ") && line.contains("was not found in the pkg-config")
            || line.contains("CMake must be installed")
    })?;
    let package = HEADERS.iter().find(|(sign, _)| line.contains(sign)).map(|(_, package)| *package);
    let what = line.split("fatal error:").nth(1).unwrap_or(line).split(": No such file").next().unwrap_or(line).trim();
    Some(Explanation::new(
        "system-library",
        "A package could not be compiled: a system library is missing",
        format!("The compiler says: {what}."),
        match package {
            Some(package) => format!(
                "Add a line `{package}` to a file named Aptfile in the root of the source, or use a release of the package that comes as a wheel."
            ),
            None => "Add the Debian package that has it to a file named Aptfile in the root of the source (one name a line)."
                .to_owned(),
        },
    ))
}

fn hashes(lower: &str) -> Option<Explanation> {
    (lower.contains("hash mismatch") || lower.contains("do not match the hashes") || lower.contains("hashes are required")).then(
        || {
            Explanation::new(
                "dependency-hash",
                "A downloaded package is not the one that was pinned",
                "Its hash differs from the one in the lock or requirements file.",
                "Make the lock or requirements file again, and check that it comes from the same package index.",
            )
        },
    )
}

fn memory_or_disk(lower: &str) -> Option<Explanation> {
    if lower.contains("no space left on device") {
        return Some(Explanation::new(
            "disk-full",
            "The disk is full",
            "The machine that builds has no space left.",
            "Free some space on it, for instance by deleting apps that are no longer needed.",
        ));
    }
    let killed = lower.contains("signal: 9")
        || lower.contains("sigkill")
        || lower.contains("killed signal terminated program")
        || lower.contains("memoryerror")
        || lower.contains("cannot allocate memory");
    killed.then(|| {
        Explanation::new(
            "build-memory",
            "The build ran out of memory",
            "A program of the build was ended because it used more memory than a build may use.",
            "Use releases of large packages that come as wheels, or leave out those the app does not need.",
        )
    })
}

fn python_2(log: &str) -> Option<Explanation> {
    let print = log.contains("Missing parentheses in call to 'print'")
        || log.contains("use_2to3 is invalid")
        || log.contains("except Exception, e")
        || log.contains("No module named 'ConfigParser'")
        || log.contains("No module named 'commands'")
        || log.contains("NameError: name 'unicode'");
    print.then(|| {
        let package = failed_package(log).map_or_else(|| "A package".to_owned(), |name| format!("`{name}`"));
        Explanation::new(
            "package-build",
            format!("{package} was made for Python 2"),
            "Its setup script does not run on Python 3.",
            "Replace it by a newer release or a successor; many have one under a similar name.",
        )
    })
}

/// The package that the installer was building.
fn failed_package(log: &str) -> Option<String> {
    let line = line_with(log, "Failed to build `")
        .or_else(|| line_with(log, "Failed to download and build `"))
        .or_else(|| line_with(log, "failed to build `"))?;
    Some(line.split('`').nth(1)?.to_owned())
}

/// Any other end of a setup script.
fn not_built(log: &str) -> Option<Explanation> {
    let package = failed_package(log)?;
    let raised = log.lines().rev().map(str::trim).find(|line| {
        line.split_once("Error: ")
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.'))
    });
    Some(Explanation::new(
        "package-build",
        format!("`{package}` could not be built"),
        raised.map_or_else(
            || "There is no wheel of it for this Python, and its setup script fails.".to_owned(),
            |line| format!("There is no wheel of it for this Python, and its setup script fails: {line}"),
        ),
        "Use a newer release of it, or the Python version it was made for (a file .python-version).",
    ))
}

fn build_module(log: &str) -> Option<Explanation> {
    let line = line_with(log, "ModuleNotFoundError: No module named")?;
    let package = failed_package(log)?;
    let module = line.split('\'').nth(1).unwrap_or("a module");
    let fix = match module {
        "distutils" | "imp" => {
            "It needs an older Python: write 3.11 into a file named .python-version, or use a newer release of the package."
                .to_owned()
        }
        _ => format!("Use a newer release of it; older setup scripts expect `{module}` to be installed already."),
    };
    Some(Explanation::new(
        "package-build",
        format!("`{package}` could not be built"),
        format!("Its setup script needs the module `{module}`."),
        fix,
    ))
}

fn resolution(log: &str, lower: &str) -> Option<Explanation> {
    let because = || {
        let text: Vec<&str> = log
            .lines()
            .skip_while(|line| !line.contains("Because") && !line.contains("No solution found"))
            .take(8)
            .map(|line| line.trim().trim_start_matches(['×', '╰', '─', '▶', '│', ' ']))
            .collect();
        text.join(" ")
    };
    if lower.contains("was not found in the package registry") || lower.contains("not found in the package index") {
        let line = line_with(log, "was not found in the package").unwrap_or_default();
        let name = line.split("Because ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap_or("a package");
        return Some(Explanation::new(
            "package-not-found",
            format!("There is no package `{name}`"),
            "The package index does not know this name.",
            "Check its spelling: the name to install often differs from the name to import (`cv2` is `opencv-python`, `PIL` is `pillow`).",
        ));
    }
    if lower.contains("no solution found") || lower.contains("conflicting dependencies") || lower.contains("resolutionimpossible")
    {
        let cause = because();
        if lower.contains("requires-python") || lower.contains("depends on python") || lower.contains("current python version") {
            return Some(Explanation::new(
                "python-version",
                "A package needs another Python version",
                cause,
                "Ask for a Python that suits (a file .python-version with, for instance, 3.13), or for another release of the package.",
            ));
        }
        if lower.contains("there is no version of")
            || lower.contains("no versions of")
            || lower.contains("only the following versions")
        {
            return Some(Explanation::new(
                "release-not-found",
                "A release that is asked for does not exist",
                cause,
                "Ask for a release that exists, or for a range of them.",
            ));
        }
        if lower.contains("wheel") && lower.contains("no matching") || lower.contains("has no wheels") {
            return Some(Explanation::new(
                "release-not-found",
                "A package has nothing to install for this system",
                cause,
                "Use a release with wheels for Linux and this Python version, or another Python version.",
            ));
        }
        return Some(Explanation::new(
            "dependency-conflict",
            "The dependencies contradict each other",
            cause,
            "Loosen one of the versions named, so that one release of each package suits all.",
        ));
    }
    None
}

fn network(log: &str, lower: &str) -> Option<Explanation> {
    if lower.contains("could not read username")
        || lower.contains("authentication failed")
        || lower.contains("permission denied (publickey)")
        || lower.contains("repository not found")
    {
        return Some(Explanation::new(
            "git-dependency",
            "A git repository among the dependencies can't be read",
            line_with(log, "fatal:").unwrap_or("It is private, or gone.").to_owned(),
            "Builds hold no keys: use a public repository, or a URL with a token from a build variable.",
        ));
    }
    let signs = [
        "connection refused",
        "dns error",
        "failed to lookup address",
        "name resolution",
        "could not resolve host",
        "connection reset",
        "timed out",
        "error sending request",
        "network is unreachable",
    ];
    signs.iter().any(|sign| lower.contains(sign)).then(|| {
        let line =
            signs.iter().find_map(|sign| log.lines().rev().find(|line| line.to_lowercase().contains(sign))).unwrap_or_default();
        Explanation::new(
            "download",
            "A download failed",
            line.trim().to_owned(),
            "Deploy again. If it happens every time, what is downloaded is not reachable from this machine.",
        )
    })
}

fn compiler(lower: &str) -> Option<Explanation> {
    let signs = [
        "error: command '/usr/bin/gcc' failed",
        "error: command 'gcc' failed",
        "error: command '/usr/bin/x86_64-linux-gnu-gcc' failed",
        "compilation terminated",
        "linker `cc` not found",
        "rust compiler",
        "cargo, the rust package manager, is not installed",
    ];
    let sign = signs.iter().find(|sign| lower.contains(**sign))?;
    let rust = sign.contains("rust");
    Some(Explanation::new(
        "package-build",
        "A package could not be compiled",
        if rust {
            "It is written in Rust, and builds have no Rust compiler."
        } else {
            "The compiler refused its C code, which may be too old for this Python version."
        },
        "Use a newer release of it that comes as a wheel, or an older Python version (a file .python-version).",
    ))
}
