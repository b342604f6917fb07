//! Pins that tell which Python an app was made for, where the app itself does not.

use crate::plan::PyVersion;

use super::requirement::Req;
use super::version::DEFAULT;

/// Compiled packages whose releases below a version neither have wheels for, nor build on, a newer Python:
/// name, first release that is fine, newest Python for those below.
const OLD: [(&str, &str, PyVersion); 57] = [
    ("numpy", "1.23.2", PyVersion::new(3, 10)),
    ("numpy", "1.21.3", PyVersion::new(3, 9)),
    ("pandas", "1.5.0", PyVersion::new(3, 10)),
    ("pandas", "1.3.3", PyVersion::new(3, 9)),
    ("scipy", "1.9.2", PyVersion::new(3, 10)),
    ("scipy", "1.7.2", PyVersion::new(3, 9)),
    ("scikit-learn", "1.1.3", PyVersion::new(3, 10)),
    ("scikit-learn", "1.0.1", PyVersion::new(3, 9)),
    ("matplotlib", "3.6.0", PyVersion::new(3, 10)),
    ("tensorflow", "2.12", PyVersion::new(3, 10)),
    ("tensorflow", "2.8", PyVersion::new(3, 9)),
    ("tensorflow-cpu", "2.12", PyVersion::new(3, 10)),
    ("torch", "1.13", PyVersion::new(3, 10)),
    ("torch", "1.11", PyVersion::new(3, 9)),
    ("grpcio", "1.49.1", PyVersion::new(3, 10)),
    ("aiohttp", "3.8.3", PyVersion::new(3, 10)),
    ("aiohttp", "3.8.0", PyVersion::new(3, 9)),
    ("frozenlist", "1.3.1", PyVersion::new(3, 10)),
    ("multidict", "6.0.3", PyVersion::new(3, 10)),
    ("yarl", "1.8.1", PyVersion::new(3, 10)),
    ("greenlet", "1.1.3.post0", PyVersion::new(3, 10)),
    ("greenlet", "1.1.2", PyVersion::new(3, 9)),
    ("gevent", "22.10", PyVersion::new(3, 10)),
    ("gevent", "21.8", PyVersion::new(3, 9)),
    ("cython", "0.29.24", PyVersion::new(3, 9)),
    ("uvloop", "0.17", PyVersion::new(3, 10)),
    ("asyncpg", "0.27", PyVersion::new(3, 10)),
    ("pyarrow", "10.0.1", PyVersion::new(3, 10)),
    ("pydantic-core", "0.1", PyVersion::new(3, 10)),
    ("orjson", "3.8.0", PyVersion::new(3, 10)),
    ("shapely", "1.8.5", PyVersion::new(3, 10)),
    ("spacy", "3.4.2", PyVersion::new(3, 10)),
    ("statsmodels", "0.13.3", PyVersion::new(3, 10)),
    ("typed-ast", "1.5.5", PyVersion::new(3, 10)),
    ("wrapt", "1.14.0", PyVersion::new(3, 10)),
    ("dataclasses", "1", PyVersion::new(3, 9)),
    ("aioredis", "2.0.2", PyVersion::new(3, 10)),
    ("markupsafe", "1.1.0", PyVersion::new(3, 9)),
    ("jinja2", "2.10.1", PyVersion::new(3, 9)),
    ("flask", "1.0.3", PyVersion::new(3, 9)),
    ("werkzeug", "0.15.5", PyVersion::new(3, 9)),
    ("django", "2.2", PyVersion::new(3, 9)),
    ("tornado", "4.5", PyVersion::new(3, 9)),
    // Its threads: it imports names that Python moved.
    ("gunicorn", "20.0", PyVersion::new(3, 9)),
    ("cchardet", "2.1.8", PyVersion::new(3, 10)),
    ("pyyaml", "5.1", PyVersion::new(3, 9)),
    ("cffi", "1.15.1", PyVersion::new(3, 10)),
    ("h5py", "3.8", PyVersion::new(3, 10)),
    ("lxml", "4.9.2", PyVersion::new(3, 10)),
    ("opencv-contrib-python", "4.5.4", PyVersion::new(3, 9)),
    ("opencv-python", "4.5.4", PyVersion::new(3, 9)),
    ("opencv-python-headless", "4.5.4", PyVersion::new(3, 9)),
    ("pillow", "9.3", PyVersion::new(3, 10)),
    ("psycopg2", "2.8", PyVersion::new(3, 7)),
    ("psycopg2-binary", "2.8", PyVersion::new(3, 7)),
    ("psycopg2-binary", "2.9.5", PyVersion::new(3, 10)),
    ("ujson", "5.5", PyVersion::new(3, 10)),
];

/// Packages whose releases from a version on need a newer Python than the default.
const NEW: [(&str, &str, PyVersion); 3] = [
    ("django", "6.0a1", PyVersion::new(3, 12)),
    ("numpy", "2.5", PyVersion::new(3, 12)),
    ("ipython", "9.12", PyVersion::new(3, 12)),
];

/// The newest Python that all pins are known to suit, and the pin that says so.
pub(crate) fn at_most(reqs: &[Req]) -> Option<(PyVersion, String)> {
    let bounds = reqs.iter().filter_map(|req| {
        let pin = req.pin()?;
        let limit = OLD
            .iter()
            .filter(|(name, bound, _)| *name == req.name && *pin < bound.parse().expect("bounds are versions"))
            .map(|(_, _, python)| *python)
            .min()?;
        Some((limit, format!("{}=={pin}", req.name)))
    });
    bounds.min_by_key(|(limit, _)| *limit)
}

/// The oldest Python that all requirements need, and the one that says so.
pub(crate) fn at_least(reqs: &[Req]) -> Option<(PyVersion, String)> {
    let bounds = reqs.iter().filter_map(|req| {
        let floor = req.floor()?;
        let limit = NEW
            .iter()
            .filter(|(name, bound, _)| *name == req.name && *floor >= bound.parse().expect("bounds are versions"))
            .map(|(_, _, python)| *python)
            .max()?;
        Some((limit, req.pin().map_or_else(|| format!("{}>={floor}", req.name), |pin| format!("{}=={pin}", req.name))))
    });
    bounds.max_by_key(|(limit, _)| *limit)
}

/// Releases that stand in for pins which can neither be had nor built for the default Python: name, first release that is
/// fine, and what is installed in its place. Only the nearest that behave alike, never the newest.
const STAND_INS: [(&str, &str, &str); 41] = [
    ("aiohttp", "3.8.3", ">=3.8.6,<3.9"),
    ("asyncpg", "0.27", ">=0.27,<0.30"),
    ("cffi", "1.15.1", ">=1.15.1,<2"),
    ("flask", "1.0.3", ">=1.0.4,<1.1"),
    ("frozenlist", "1.3.1", ">=1.3.3,<2"),
    ("gevent", "22.10", ">=22.10.2,<24"),
    ("greenlet", "1.1.3.post0", ">=2.0.2,<4"),
    ("grpcio", "1.49.1", ">=1.51.3,<2"),
    ("gunicorn", "20.0", ">=20.1,<21"),
    ("h5py", "3.8", ">=3.8,<4"),
    ("jinja2", "2.10.1", ">=2.11.3,<3"),
    // What the stand-ins of others need.
    ("joblib", "1.1.1", ">=1.1.1,<2"),
    ("kiwisolver", "1.4.4", ">=1.4.4,<2"),
    ("lxml", "4.9.2", ">=4.9.3,<6"),
    ("markupsafe", "1.1.0", ">=1.1.1,<2.1"),
    ("matplotlib", "3.6.0", ">=3.6.3,<3.9"),
    ("multidict", "6.0.3", ">=6.0.4,<7"),
    ("numpy", "1.23.2", ">=1.23.5,<2"),
    ("opencv-contrib-python", "4.5.4", ">=4.6,<4.10"),
    ("opencv-python", "4.5.4", ">=4.6,<4.10"),
    ("opencv-python-headless", "4.5.4", ">=4.6,<4.10"),
    ("orjson", "3.8.0", ">=3.8.3,<4"),
    ("pandas", "1.5.0", ">=1.5.3,<2"),
    ("pillow", "9.3", ">=9.5,<10"),
    ("psycopg2", "2.8", ">=2.9.5,<3"),
    ("psycopg2-binary", "2.9.5", ">=2.9.5,<3"),
    ("pyarrow", "10.0.1", ">=10.0.1,<15"),
    ("python-dateutil", "2.8.1", ">=2.8.1,<3"),
    ("pytz", "2020.1", ">=2020.1"),
    ("scikit-learn", "1.1.3", ">=1.2.2,<1.4"),
    ("scipy", "1.9.2", ">=1.9.3,<1.12"),
    ("shapely", "1.8.5", ">=1.8.5.post1,<2"),
    ("statsmodels", "0.13.3", ">=0.13.5,<0.15"),
    ("tensorflow", "2.12", ">=2.12,<2.16"),
    ("tensorflow-cpu", "2.12", ">=2.12,<2.16"),
    ("typed-ast", "1.5.5", ">=1.5.5"),
    ("ujson", "5.5", ">=5.5,<6"),
    ("uvloop", "0.17", ">=0.17,<1"),
    ("werkzeug", "0.15.5", ">=0.16.1,<1"),
    ("wrapt", "1.14.0", ">=1.14.1,<2"),
    ("yarl", "1.8.1", ">=1.8.2,<2"),
];

/// Puts releases that suit the default Python in the place of pins that don't; for apps that name no Python version
/// themselves and would otherwise not install at all. Says so for each.
pub(crate) fn stand_in(reqs: &mut [Req]) -> Vec<String> {
    let mut notes = Vec::new();
    for req in reqs {
        let Some(pin) = req.pin().cloned() else { continue };
        let hashed = req.line.contains(" --hash=");
        let found = STAND_INS
            .iter()
            .find(|(name, bound, _)| *name == req.name && !hashed && pin < bound.parse().expect("bounds are versions"));
        let Some((name, _, range)) = found else { continue };
        notes.push(format!(
            "{name}=={pin} can't be had for Python {DEFAULT}: {name}{range} is installed in its place; \
             a file .python-version with the version the app was made for keeps its pins"
        ));
        req.line = req.line.replacen(&format!("=={pin}"), range, 1);
        req.versions = range.parse().expect("the stand-ins are ranges");
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::python::requirement::{Parsed, parse};

    #[test]
    fn stand_ins_replace_only_what_cannot_be_had() {
        let req = |text: &str| match parse(text, &[]).unwrap() {
            Parsed::Keep(req, _) => *req,
            Parsed::Drop(note) => panic!("{note}"),
        };
        let mut reqs = [
            req("numpy==1.19.5"),
            req("numpy==1.24.0"),
            req("flask==1.1"),
            req("pandas[x]==1.2 ; python_version >= '3'"),
            req("lxml>=4"),
        ];
        let notes = stand_in(&mut reqs);
        let lines: Vec<&str> = reqs.iter().map(|req| req.line.as_str()).collect();
        assert_eq!(lines[..3], ["numpy>=1.23.5,<2", "numpy==1.24.0", "flask==1.1"]);
        assert!(lines[3].starts_with("pandas[x]>=1.5.3,<2 ;"), "{}", lines[3]);
        assert_eq!(lines[4], "lxml>=4");
        assert_eq!(notes.len(), 2);
    }
}
