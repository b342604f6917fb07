//! Pins that tell which Python an app was made for, where the app itself does not.

use crate::plan::PyVersion;

use super::requirement::Req;

/// Compiled packages whose releases below a version neither have wheels for, nor build on, a newer Python:
/// name, first release that is fine, newest Python for those below.
const OLD: [(&str, &str, PyVersion); 44] = [
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
    ("flask", "0.12.3", PyVersion::new(3, 9)),
    ("django", "2.2", PyVersion::new(3, 9)),
    ("tornado", "4.5", PyVersion::new(3, 9)),
    ("cchardet", "2.1.8", PyVersion::new(3, 10)),
    ("pyyaml", "5.1", PyVersion::new(3, 9)),
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

/// The oldest Python that all pins need, and the pin that says so.
pub(crate) fn at_least(reqs: &[Req]) -> Option<(PyVersion, String)> {
    let bounds = reqs.iter().filter_map(|req| {
        let pin = req.pin()?;
        let limit = NEW
            .iter()
            .filter(|(name, bound, _)| *name == req.name && *pin >= bound.parse().expect("bounds are versions"))
            .map(|(_, _, python)| *python)
            .max()?;
        Some((limit, format!("{}=={pin}", req.name)))
    });
    bounds.max_by_key(|(limit, _)| *limit)
}
