//! System libraries that well-known packages need, and the Aptfile for all others.

use std::collections::BTreeSet;

use crate::error::PlanError;
use crate::plan::{DebianPackage, PyVersion, SystemPackages};
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

use super::requirement::Req;

/// One rule: distributions, when it applies, what is needed to build and to run.
struct Rule {
    names: &'static [&'static str],
    when: When,
    build: &'static [&'static str],
    run: &'static [&'static str],
}

enum When {
    Always,
    /// Only for versions below this one: newer ones come with wheels that hold the library.
    Below(&'static str),
    /// Only with this extra.
    Extra(&'static str),
    /// Unless one of these extras brings the library along.
    Unless(&'static [&'static str]),
}

const PANGO: &[&str] =
    &["libpango-1.0-0", "libpangocairo-1.0-0", "libpangoft2-1.0-0", "libharfbuzz-subset0", "fonts-dejavu-core"];
const GL: &[&str] = &["libgl1", "libglib2.0-0"];

const RULES: &[Rule] = &[
    Rule { names: &["psycopg2"], when: When::Always, build: &["libpq-dev"], run: &["libpq5"] },
    Rule { names: &["psycopg2-binary"], when: When::Below("2.9.5"), build: &["libpq-dev"], run: &["libpq5"] },
    Rule { names: &["psycopg"], when: When::Extra("c"), build: &["libpq-dev"], run: &["libpq5"] },
    Rule { names: &["psycopg"], when: When::Unless(&["binary", "c"]), build: &[], run: &["libpq5"] },
    Rule { names: &["psycopg-c", "pygresql", "psycopg2cffi"], when: When::Always, build: &["libpq-dev"], run: &["libpq5"] },
    Rule {
        names: &["mysqlclient", "mysql-python", "flask-mysqldb"],
        when: When::Always,
        build: &["default-libmysqlclient-dev", "pkg-config"],
        run: &["libmariadb3"],
    },
    Rule { names: &["mariadb"], when: When::Always, build: &["libmariadb-dev"], run: &["libmariadb3"] },
    Rule {
        names: &["lxml"],
        when: When::Below("4.9.3"),
        build: &["libxml2-dev", "libxslt1-dev"],
        run: &["libxml2", "libxslt1.1"],
    },
    Rule {
        names: &["pillow"],
        when: When::Below("9.3"),
        build: &["libjpeg-dev", "zlib1g-dev", "libfreetype-dev", "libwebp-dev", "libtiff-dev"],
        run: &["libjpeg62-turbo", "libfreetype6", "libwebp7", "libwebpmux3", "libwebpdemux2", "libtiff6"],
    },
    Rule { names: &["pycairo", "rlpycairo"], when: When::Always, build: &["libcairo2-dev", "pkg-config"], run: &["libcairo2"] },
    Rule { names: &["cairocffi", "cairosvg"], when: When::Always, build: &[], run: &["libcairo2"] },
    Rule { names: &["xhtml2pdf", "svglib"], when: When::Always, build: &["libcairo2-dev", "pkg-config"], run: &["libcairo2"] },
    Rule { names: &["weasyprint", "django-weasyprint", "flask-weasyprint"], when: When::Always, build: &[], run: PANGO },
    Rule {
        names: &["python-ldap", "django-auth-ldap", "flask-simpleldap"],
        when: When::Always,
        build: &["libldap-dev", "libsasl2-dev"],
        run: &["libldap-2.5-0", "libsasl2-2"],
    },
    Rule {
        names: &["pyodbc", "aioodbc", "django-mssql-backend", "mssql-django", "django-pyodbc-azure"],
        when: When::Always,
        build: &["unixodbc-dev"],
        run: &["unixodbc"],
    },
    Rule { names: &["pymssql"], when: When::Below("2.2"), build: &["freetds-dev"], run: &["libsybdb5"] },
    Rule {
        names: &["pdf2image", "pdftotext"],
        when: When::Always,
        build: &["libpoppler-cpp-dev", "pkg-config"],
        run: &["poppler-utils", "libpoppler-cpp0v5"],
    },
    Rule {
        names: &["pydub", "ffmpeg-python", "openai-whisper", "moviepy", "yt-dlp", "youtube-dl"],
        when: When::Always,
        build: &[],
        run: &["ffmpeg"],
    },
    Rule { names: &["opencv-python", "opencv-contrib-python"], when: When::Always, build: &[], run: GL },
    Rule {
        names: &["mediapipe", "deepface", "easyocr", "paddleocr", "ultralytics", "face-recognition"],
        when: When::Always,
        build: &[],
        run: GL,
    },
    Rule { names: &["dlib"], when: When::Always, build: &["cmake"], run: &[] },
    Rule { names: &["python-magic"], when: When::Always, build: &[], run: &["libmagic1"] },
    Rule {
        names: &["pytesseract", "tesserocr"],
        when: When::Always,
        build: &["libtesseract-dev", "libleptonica-dev", "pkg-config"],
        run: &["tesseract-ocr"],
    },
    Rule {
        names: &["xmlsec", "python3-saml", "djangosaml2", "pysaml2"],
        when: When::Always,
        build: &["libxmlsec1-dev", "libxml2-dev", "pkg-config"],
        run: &["xmlsec1", "libxmlsec1-openssl"],
    },
    Rule {
        names: &["pygobject"],
        when: When::Always,
        build: &["libgirepository1.0-dev", "libcairo2-dev", "pkg-config"],
        run: &["libgirepository-1.0-1", "libcairo2"],
    },
    Rule { names: &["pyzbar"], when: When::Always, build: &[], run: &["libzbar0"] },
    Rule { names: &["pycurl"], when: When::Below("7.45.3"), build: &["libcurl4-openssl-dev"], run: &["libcurl4"] },
    Rule { names: &["soundfile", "librosa"], when: When::Always, build: &[], run: &["libsndfile1"] },
    Rule { names: &["pyaudio", "sounddevice"], when: When::Always, build: &["portaudio19-dev"], run: &["libportaudio2"] },
    Rule { names: &["graphviz", "pydot", "pydotplus"], when: When::Always, build: &[], run: &["graphviz"] },
    Rule { names: &["pygraphviz"], when: When::Always, build: &["libgraphviz-dev", "pkg-config"], run: &["graphviz"] },
    Rule { names: &["gdal", "django-geojson"], when: When::Always, build: &["libgdal-dev"], run: &["libgdal32"] },
    Rule { names: &["django-leaflet", "djangorestframework-gis"], when: When::Always, build: &[], run: &["gdal-bin"] },
    Rule { names: &["gevent"], when: When::Below("22.10"), build: &["libev-dev"], run: &[] },
    Rule { names: &["pyicu"], when: When::Always, build: &["libicu-dev", "pkg-config"], run: &["libicu72"] },
    Rule { names: &["python-snappy"], when: When::Below("0.7"), build: &["libsnappy-dev"], run: &["libsnappy1v5"] },
    Rule { names: &["pdfkit", "imgkit", "django-wkhtmltopdf"], when: When::Always, build: &[], run: &["wkhtmltopdf"] },
    Rule { names: &["wand"], when: When::Always, build: &[], run: &["libmagickwand-6.q16-6"] },
    Rule { names: &["pyvips"], when: When::Always, build: &[], run: &["libvips42"] },
    Rule { names: &["pytdlib", "python-pcl", "pyenchant"], when: When::Always, build: &[], run: &["libenchant-2-2"] },
    Rule { names: &["h5py", "tables"], when: When::Below("3.7"), build: &["libhdf5-dev", "pkg-config"], run: &["libhdf5-103-1"] },
    Rule {
        names: &["secp256k1", "coincurve"],
        when: When::Below("18"),
        build: &["libsecp256k1-dev", "pkg-config", "autoconf", "libtool"],
        run: &[],
    },
    Rule { names: &["uwsgi"], when: When::Always, build: &["libpcre3-dev"], run: &["libpcre3"] },
    Rule { names: &["m2crypto"], when: When::Always, build: &["swig", "libssl-dev"], run: &[] },
    Rule { names: &["pysqlcipher3"], when: When::Always, build: &["libsqlcipher-dev"], run: &["libsqlcipher0"] },
    Rule { names: &["pygame"], when: When::Below("2.1.3"), build: &["libsdl2-dev"], run: &["libsdl2-2.0-0"] },
    Rule {
        names: &["gssapi", "pykerberos", "kerberos", "requests-kerberos"],
        when: When::Always,
        build: &["libkrb5-dev"],
        run: &["libgssapi-krb5-2"],
    },
    Rule { names: &["python-barcode-zint", "pylibdmtx"], when: When::Always, build: &[], run: &["libdmtx0b"] },
    Rule { names: &["cffi"], when: When::Below("1.15.1"), build: &["libffi-dev"], run: &[] },
    Rule {
        names: &["gmpy2"],
        when: When::Below("2.1.5"),
        build: &["libgmp-dev", "libmpfr-dev", "libmpc-dev"],
        run: &["libgmp10", "libmpfr6", "libmpc3"],
    },
];

impl Rule {
    fn applies(&self, req: &Req) -> bool {
        self.names.contains(&req.name.as_str())
            && match self.when {
                When::Always => true,
                When::Below(bound) => req.is_below(bound),
                When::Extra(extra) => req.extras.iter().any(|have| have == extra),
                When::Unless(extras) => !req.extras.iter().any(|have| extras.contains(&have.as_str())),
            }
    }
}

/// Packages that the release with a newer Python has under another name; the rules hold the names of the one with 3.11.
/// Names that the newer release still provides are not listed.
const RENAMED: [(&str, &str); 9] = [
    ("libgdal32", "libgdal36"),
    ("libhdf5-103-1", "libhdf5-310"),
    ("libicu72", "libicu76"),
    ("libldap-2.5-0", "libldap2"),
    ("libmagickwand-6.q16-6", "libmagickwand-7.q16-10"),
    ("libpcre3", "libpcre2-8-0"),
    ("libpcre3-dev", "libpcre2-dev"),
    ("libpoppler-cpp0v5", "libpoppler-cpp2"),
    ("libsqlcipher0", "libsqlcipher1"),
];

/// The same for the release with an older Python.
const RENAMED_OLDER: [(&str, &str); 7] = [
    ("libgdal32", "libgdal28"),
    ("libhdf5-103-1", "libhdf5-103"),
    ("libicu72", "libicu67"),
    ("libldap-2.5-0", "libldap-2.4-2"),
    ("libldap-dev", "libldap2-dev"),
    ("libtiff6", "libtiff5"),
    ("libwebp7", "libwebp6"),
];

/// What the requirements and the Aptfile need of the system, in the release that has this Python.
pub(crate) fn packages(reqs: &[Req], aptfile: &[DebianPackage], python: PyVersion) -> SystemPackages {
    let names: &[(&str, &str)] = match python {
        _ if python >= PyVersion::new(3, 12) => &RENAMED,
        _ if python < PyVersion::new(3, 11) => &RENAMED_OLDER,
        _ => &[],
    };
    let package = |name: &&str| {
        let renamed = names.iter().find(|(usual, _)| usual == name).map_or(*name, |(_, here)| here);
        DebianPackage::parse(renamed).expect("the rules hold valid names")
    };
    let mut build = BTreeSet::new();
    let mut run = BTreeSet::new();
    // `psycopg` with its binary package locked beside it needs nothing.
    let bundled = reqs.iter().any(|req| req.name == "psycopg-binary");
    for req in reqs {
        for rule in RULES.iter().filter(|rule| rule.applies(req)) {
            if bundled && req.name == "psycopg" {
                continue;
            }
            build.extend(rule.build.iter().map(package));
            run.extend(rule.run.iter().map(package));
        }
    }
    build.extend(aptfile.iter().cloned());
    run.extend(aptfile.iter().cloned());
    SystemPackages { build: build.into_iter().collect(), run: run.into_iter().collect() }
}

/// Reads the Aptfile: one package a line, comments allowed.
pub(crate) fn aptfile(tree: &dyn SourceTree, path: &str) -> Result<Vec<DebianPackage>, PlanError> {
    if !tree.has(path) {
        return Ok(Vec::new());
    }
    let decoded = text::decode(&tree.read(path, READ_LIMIT)?);
    let mut out = Vec::new();
    for (index, line) in text::lines(&decoded).enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split_whitespace() {
            let bad = |why| PlanError::Aptfile { line: index + 1, text: word.chars().take(80).collect(), why };
            if word.contains("://") || text::has_extension(word, "deb") {
                return Err(bad("is a file to download, and only names of Debian packages are taken"));
            }
            if word.starts_with(':') || word.starts_with('-') {
                return Err(bad("is an option, and only names of Debian packages are taken"));
            }
            out.push(DebianPackage::parse(word).map_err(|_same| bad("is not the name of a Debian package"))?);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::requirement::{Parsed, parse};

    fn run_of(text: &str) -> Vec<String> {
        let Parsed::Keep(req, _) = parse(text, &[]).unwrap() else { panic!("{text}") };
        packages(&[*req], &[], PyVersion::new(3, 11)).run.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_is_needed() {
        assert_eq!(run_of("psycopg2==2.9.9"), ["libpq5"]);
        assert_eq!(run_of("psycopg2-binary"), [""; 0]);
        assert_eq!(run_of("psycopg2-binary==2.8.6"), ["libpq5"]);
        assert_eq!(run_of("psycopg[binary]"), [""; 0]);
        assert_eq!(run_of("psycopg[c]"), ["libpq5"]);
        assert_eq!(run_of("psycopg"), ["libpq5"]);
        assert_eq!(run_of("flask"), [""; 0]);
        assert_eq!(run_of("lxml"), [""; 0]);
        assert!(run_of("opencv-python").contains(&"libgl1".to_owned()));
    }

    #[test]
    fn names_are_those_of_the_release() {
        let Parsed::Keep(req, _) = parse("python-ldap", &[]).unwrap() else { panic!() };
        let run = |minor| packages(std::slice::from_ref(&req), &[], PyVersion::new(3, minor)).run;
        assert!(run(11).iter().any(|package| package.as_str() == "libldap-2.5-0"));
        assert!(run(13).iter().any(|package| package.as_str() == "libldap2"));
    }

    #[test]
    fn every_rule_holds_valid_names() {
        for rule in RULES {
            for name in rule.build.iter().chain(rule.run) {
                DebianPackage::parse(name).unwrap();
            }
            if let When::Below(bound) = rule.when {
                bound.parse::<pep440_rs::Version>().unwrap();
            }
        }
    }

    #[test]
    fn an_aptfile_holds_names_and_nothing_else() {
        let read = |text: &str| {
            let tree: crate::tree::MemoryTree = [("Aptfile", text)].into_iter().collect();
            aptfile(&tree, "Aptfile")
        };
        let got = read("# fonts\nlibpq5 # db\r\n\nffmpeg graphviz\n").unwrap();
        assert_eq!(got.iter().map(DebianPackage::as_str).collect::<Vec<_>>(), ["libpq5", "ffmpeg", "graphviz"]);
        for bad in ["https://e.example/x.deb", "x.deb", "--allow", ":repo:deb", "a;b", "$(id)", "Bad", "a/b", "a=1"] {
            assert!(matches!(read(bad), Err(PlanError::Aptfile { line: 1, .. })), "{bad}");
        }
    }
}
