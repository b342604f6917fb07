//! One requirement: a line of a requirements file or a string of a manifest, checked and made fit for the installer.

use pep440_rs::{Operator, Version, VersionSpecifiers};
use pep508_rs::{MarkerTree, Requirement, VerbatimUrl, VersionOrUrl};

use super::{drop, pep508};

/// A requirement as the installer gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Req {
    /// The normalised name; empty for a URL or path that does not tell it.
    pub(crate) name: String,
    /// Normalised names of extras.
    pub(crate) extras: Vec<String>,
    /// The allowed versions; empty means any.
    pub(crate) versions: VersionSpecifiers,
    /// When it applies.
    pub(crate) marker: MarkerTree,
    /// The line for the installer, with marker and hashes.
    pub(crate) line: String,
}

/// What became of a requirement's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// To be installed; perhaps with something to say about it.
    Keep(Box<Req>, Option<String>),
    /// Left out, with the reason.
    Drop(String),
}

/// A name as the package index compares it: lower case, runs of `-_.` as one `-`.
pub(crate) fn normalise(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.push(c.to_ascii_lowercase());
        }
    }
    out
}

/// Names under which the index has nothing that installs, or something else altogether, and what people mean by them.
const MEANT: [(&str, &str); 8] = [
    ("beautifulsoup", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("docx", "python-docx"),
    ("pil", "pillow"),
    ("pytorch", "torch"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("tensorflow-gpu", "tensorflow"),
];

impl Req {
    /// A requirement of any version.
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: normalise(name),
            extras: Vec::new(),
            versions: VersionSpecifiers::default(),
            marker: MarkerTree::default(),
            line: name.to_owned(),
        }
    }

    /// The exact version it pins, if it does.
    pub(crate) fn pin(&self) -> Option<&Version> {
        match self.versions.iter().as_slice() {
            [one] if matches!(one.operator(), Operator::Equal | Operator::ExactEqual) => Some(one.version()),
            _ => None,
        }
    }

    /// The least version it allows, as far as it says.
    pub(crate) fn floor(&self) -> Option<&Version> {
        let lower = |operator: &Operator| {
            matches!(
                operator,
                Operator::Equal
                    | Operator::ExactEqual
                    | Operator::EqualStar
                    | Operator::TildeEqual
                    | Operator::GreaterThanEqual
                    | Operator::GreaterThan
            )
        };
        self.versions.iter().filter(|spec| lower(spec.operator())).map(pep440_rs::VersionSpecifier::version).max()
    }

    /// Takes the hashes from its line.
    pub(crate) fn forget_hashes(&mut self) {
        if let Some(at) = self.line.find(" --hash=") {
            self.line.truncate(at);
        }
    }

    /// Whether a pin, or the highest version allowed, is below `bound` (such as `2.9.5`).
    pub(crate) fn is_below(&self, bound: &str) -> bool {
        let bound: Version = bound.parse().expect("bounds in this crate are versions");
        self.versions.iter().any(|spec| {
            let version = spec.version();
            // `~=9.2` and `==9.*` allow all that begins alike: what counts is where they end.
            let end = |parts: &[u64]| {
                let (last, front) = parts.split_last()?;
                Some(Version::new(front.iter().copied().chain([last + 1])))
            };
            match spec.operator() {
                Operator::Equal | Operator::ExactEqual | Operator::LessThanEqual => *version < bound,
                Operator::LessThan => *version <= bound,
                Operator::EqualStar => end(version.release()).is_some_and(|end| end <= bound),
                Operator::TildeEqual => {
                    let release = version.release();
                    end(&release[..release.len().saturating_sub(1)]).is_some_and(|end| end <= bound)
                }
                _ => false,
            }
        })
    }
}

/// Reads a requirement, mending what people and tools commonly write wrong.
pub(crate) fn parse(text: &str, hashes: &[&str]) -> Result<Parsed, String> {
    let mut note = None;
    let mut text = text.trim().trim_end_matches([',', ';']).trim().to_owned();
    for prefix in ["pip install ", "pip3 install ", "python -m pip install "] {
        if let Some(rest) = text.strip_prefix(prefix) {
            note = Some(format!("`{text}` was read as `{}`", rest.trim()));
            text = rest.trim().to_owned();
        }
    }
    if let Some(mended) = conda_export(&text) {
        note = Some(format!("`{text}` was read as `{mended}`"));
        text = mended;
    }
    if let Some((name, url)) = direct(&text) {
        if let Some(outcome) = conda_file(name, url) {
            let (line, say) = outcome;
            note = Some(say);
            text = line;
        } else if let Some(https) = public_git(url) {
            note = Some(format!("`{url}` is fetched as `{https}`"));
            text = format!("{name} @ {https}");
        }
    }
    let requirement = read(&text)?;
    let (versions, url) = match requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(versions)) => (versions, None),
        Some(VersionOrUrl::Url(url)) => (VersionSpecifiers::default(), Some(url)),
        None => (VersionSpecifiers::default(), None),
    };
    let name = normalise(requirement.name.as_ref());
    let version = versions.iter().next().map(|spec| spec.version().to_string());
    if url.is_none()
        && let Some(why) = drop::why(&name, version.as_deref())
    {
        return Ok(Parsed::Drop(format!("`{name}` is left out: {}", why.reason())));
    }
    if url.is_none()
        && let Some((_, meant)) = MEANT.iter().find(|(written, _)| *written == name)
    {
        let text = requirement.marker.try_to_string().map_or_else(|| (*meant).to_owned(), |marker| format!("{meant} ; {marker}"));
        let say = format!("`{name}` is a name that nothing can be installed by: {meant} is meant");
        return match parse(&text, &[])? {
            Parsed::Keep(req, _) => Ok(Parsed::Keep(req, Some(say))),
            dropped @ Parsed::Drop(_) => Ok(dropped),
        };
    }
    let extras: Vec<String> = requirement.extras.iter().map(|extra| normalise(extra.as_ref())).collect();
    let mut line = name.clone();
    if !extras.is_empty() {
        line = format!("{line}[{}]", extras.join(","));
    }
    match &url {
        Some(url) => line = format!("{line} @ {}", url.given().map_or_else(|| url.to_string(), ToOwned::to_owned)),
        None => line.push_str(&versions.to_string().replace(", ", ",")),
    }
    if let Some(marker) = requirement.marker.try_to_string() {
        line = format!("{line} ; {marker}");
    }
    for hash in hashes {
        line = format!("{line} {hash}");
    }
    Ok(Parsed::Keep(Box::new(Req { name, extras, versions, marker: requirement.marker, line }), note))
}

fn read(text: &str) -> Result<Requirement<VerbatimUrl>, String> {
    // The first error is about what was written, the second about what we made of it.
    pep508::read(text).or_else(|error| pep508::read(&lenient(text)).map_err(|_second| error))
}

/// Mends `>=2.2.*`, `>=1.0<2.0`, `==1.0.` and `=>1.0`, which pip took for long or people write.
fn lenient(text: &str) -> String {
    let (spec, marker) = text.split_once(';').map_or((text, None), |(spec, marker)| (spec, Some(marker)));
    let is_operator = |c: char| "<>=~!".contains(c);
    let Some(start) = spec.find(is_operator) else { return text.to_owned() };
    let (name, mut rest) = spec.split_at(start);
    let mut clauses = Vec::new();
    while let Some(at) = rest.find(is_operator) {
        let after = &rest[at..];
        let version_at = after.find(|c: char| !is_operator(c)).unwrap_or(after.len());
        let (operator, tail) = after.split_at(version_at);
        let end = tail.find(|c: char| is_operator(c) || c == ',').unwrap_or(tail.len());
        let operator = match operator {
            "=>" => ">=",
            "=<" => "<=",
            other => other,
        };
        let version = tail[..end].trim().trim_matches(['"', '\'', ')', '(']).trim_end_matches('.');
        let version = if matches!(operator, "==" | "!=") { version } else { version.trim_end_matches(".*") };
        clauses.push(format!("{operator}{version}"));
        rest = &tail[end..];
    }
    let mended = format!("{}{}", name.trim_end_matches(['(', ' ']), clauses.join(","));
    marker.map_or(mended.clone(), |marker| format!("{mended} ;{marker}"))
}

/// `name=1.2.3` and `name=1.2.3=py39h_0` of `conda list --export`, as `name==1.2.3`.
fn conda_export(text: &str) -> Option<String> {
    let (name, rest) = text.split_once('=')?;
    let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let mut parts = rest.split('=');
    let version = parts.next()?.trim();
    let build = parts.next();
    let name = name.trim();
    let mended = plain(name)
        && plain(version)
        && version.starts_with(|c: char| c.is_ascii_digit())
        && build.is_none_or(plain)
        && parts.next().is_none();
    mended.then(|| format!("{}=={version}", name.trim_start_matches('_')))
}

/// The name and URL of `name @ URL`.
fn direct(text: &str) -> Option<(&str, &str)> {
    let (name, url) = text.split_once('@')?;
    let url = url.trim();
    let name = name.trim();
    let named = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && !name.contains(['/', ':', '=', '<', '>']);
    (named && url.contains(':')).then_some((name, url))
}

/// `name @ file:///croot/…` of a conda environment or another machine: the name alone, or what the wheel's name tells.
fn conda_file(name: &str, url: &str) -> Option<(String, String)> {
    let path = url.strip_prefix("file:")?;
    let path = path.split([';', '#']).next().unwrap_or(path).trim();
    let file = path.rsplit('/').next().unwrap_or(path);
    // A path below the tree's root was written for this place.
    if path.starts_with("///app/") || !path.starts_with('/') {
        return None;
    }
    let version = file.strip_suffix(".whl").and_then(|stem| stem.split('-').nth(1));
    let line = match version {
        Some(version) if version.parse::<Version>().is_ok() => format!("{name}=={version}"),
        _ => name.to_owned(),
    };
    let say = format!("`{name}` was installed from a file of another machine; `{line}` is installed in its place");
    Some((line, say))
}

/// Git over a protocol that is no longer served (`git://`) or needs a key (`ssh://`), as HTTPS.
pub(crate) fn public_git(url: &str) -> Option<String> {
    let url = url.strip_prefix("git+").unwrap_or(url);
    if let Some(rest) = url.strip_prefix("git://") {
        return Some(format!("git+https://{rest}"));
    }
    let rest = url.strip_prefix("ssh://").or_else(|| url.strip_prefix("git@").map(|_| url))?;
    let rest = rest.strip_prefix("git@").unwrap_or(rest);
    // `host:owner/name` of scp, which is `host/owner/name`.
    let (host, path) = rest.split_once(['/', ':'])?;
    Some(format!("git+https://{host}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        match parse(text, &[]).unwrap() {
            Parsed::Keep(req, _) => req.line,
            Parsed::Drop(note) => format!("dropped: {note}"),
        }
    }

    #[test]
    fn names_that_mean_another_distribution() {
        for (text, want) in [
            ("sklearn", "scikit-learn"),
            ("sklearn==0.0", "scikit-learn"),
            ("PIL", "pillow"),
            ("scikit-learn==1.2.2", "scikit-learn==1.2.2"),
        ] {
            let Ok(Parsed::Keep(req, note)) = parse(text, &[]) else { panic!("{text}") };
            assert_eq!(req.line, want, "{text}");
            assert_eq!(note.is_some(), text.starts_with("sklearn") || text.starts_with("PIL"), "{text}");
        }
    }

    #[test]
    fn what_people_write_becomes_what_the_installer_reads() {
        for (text, want) in [
            ("Flask", "flask"),
            ("Flask == 2.0.1", "flask==2.0.1"),
            ("psycopg[binary,pool]>=3.1,<4", "psycopg[binary,pool]>=3.1,<4"),
            ("Django>=2.2.*", "django>=2.2"),
            ("Django>=2.0<3.0", "django>=2.0,<3.0"),
            ("requests (>=2.0)", "requests>=2.0"),
            ("flask==1.0,", "flask==1.0"),
            ("flask==1.1.*", "flask==1.1.*"),
            ("flask =>1.0", "flask>=1.0"),
            ("zope.interface==5.0", "zope-interface==5.0"),
            ("pip install flask==2.0", "flask==2.0"),
            ("numpy=1.21.2=py39h20f2e39_0", "numpy==1.21.2"),
            ("flask=2.0.1", "flask==2.0.1"),
            ("certifi @ file:///croot/certifi_1665076670883/work/certifi", "certifi"),
            ("idna @ file:///C:/b/idna-3.4-py3-none-any.whl", "idna==3.4"),
            ("x @ git+git://example.org/o/x.git@v1", "x @ git+https://example.org/o/x.git@v1"),
            ("x @ git+ssh://git@example.org/o/x.git", "x @ git+https://example.org/o/x.git"),
            ("x @ https://example.org/x.zip", "x @ https://example.org/x.zip"),
        ] {
            assert_eq!(line(text), want, "{text}");
        }
        let marked = line("colorama==0.4.6; sys_platform == 'win32'");
        assert_eq!(marked, "colorama==0.4.6 ; sys_platform == 'win32'");
    }

    #[test]
    fn what_cannot_be_installed_here_is_dropped_with_a_reason() {
        for (text, reason) in [
            ("pywin32==306", "Windows"),
            ("pkg-resources==0.0.0", "distribution"),
            ("pkg_resources==0.0.0", "distribution"),
            ("python-apt==2.4.0+ubuntu3", "distribution"),
            ("sqlite3", "Python itself"),
            ("enum34==1.1.10", "Python itself"),
            ("libgcc-ng=9.3.0=h5101ec6_17", "conda"),
        ] {
            let got = line(text);
            assert!(got.starts_with("dropped:") && got.contains(reason), "{text}: {got}");
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for text in ["flask app", "=2.0", "flask==", "@@@", "flask=="] {
            assert!(parse(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn pins_and_bounds() {
        let req = |text: &str| match parse(text, &[]).unwrap() {
            Parsed::Keep(req, _) => *req,
            Parsed::Drop(note) => panic!("{note}"),
        };
        assert!(req("a==1.0").pin().is_some());
        assert!(req("a>=1.0").pin().is_none());
        assert!(req("a==2.8.6").is_below("2.9.5"));
        assert!(!req("a==2.9.5").is_below("2.9.5"));
        assert!(req("a>=1,<2.9.5").is_below("2.9.5"));
        assert!(!req("a>=1").is_below("2.9.5"));
        assert!(!req("a").is_below("2.9.5"));
        assert!(!req("a~=9.2").is_below("9.3") && req("a~=9.2.1").is_below("9.3"));
        assert!(!req("a==9.*").is_below("9.3") && req("a==8.*").is_below("9.3"));
    }
}
