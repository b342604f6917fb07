//! Releases that suit each other: what an old pin was used with, where the app leaves that open.
//!
//! Old releases rarely say which newer releases of their dependencies break them, so a resolver that takes the newest of
//! everything makes an environment that never worked: Flask 1.1 with today's Jinja2 can't even be imported.

use std::collections::BTreeMap;

use super::requirement::{Parsed, Req, parse};

/// For which releases of a distribution a rule holds.
#[derive(Clone, Copy)]
enum Of {
    /// All: the last release breaks with what its dependencies became.
    Any,
    /// Those below this version.
    Below(&'static str),
}

use Of::{Any, Below};

/// A distribution, its releases, and what its dependencies have to be.
const RULES: [(&str, Of, &[&str]); 75] = [
    ("flask", Below("1.0"), &["werkzeug<1"]),
    ("flask", Below("2.0"), &["werkzeug<2.1", "jinja2<3.1", "itsdangerous<2.1", "markupsafe<2.1"]),
    ("flask", Below("2.3"), &["werkzeug<3"]),
    ("jinja2", Below("3.0"), &["markupsafe<2.1"]),
    ("flask-admin", Below("1.6"), &["wtforms<3"]),
    ("flask-assets", Below("2.1"), &["flask<2.3"]),
    ("flask-bcrypt", Below("1.0"), &["werkzeug<2.1"]),
    ("flask-jwt-extended", Below("3.25.1"), &["pyjwt<2"]),
    ("flask-login", Below("0.6.2"), &["flask<2.3"]),
    ("flask-login", Below("0.6.3"), &["werkzeug<3"]),
    ("flask-marshmallow", Below("1.3"), &["marshmallow<4"]),
    ("flask-restful", Below("0.3.10"), &["flask<2.3"]),
    ("flask-restplus", Any, &["werkzeug<1"]),
    ("flask-restx", Below("0.5.1"), &["werkzeug<2.1"]),
    ("flask-restx", Below("1.2"), &["werkzeug<3"]),
    ("flask-script", Any, &["flask<2"]),
    ("flask-session", Below("0.5"), &["flask<2.3"]),
    ("flask-socketio", Below("5"), &["python-socketio<5", "python-engineio<4"]),
    ("flask-sqlalchemy", Below("2.5"), &["sqlalchemy<1.4"]),
    ("flask-sqlalchemy", Below("3.0"), &["sqlalchemy<2", "flask<2.3"]),
    ("flask-uploads", Any, &["werkzeug<1"]),
    ("flask-wtf", Below("0.14.3"), &["werkzeug<1"]),
    ("flask-wtf", Below("1.0"), &["wtforms<3"]),
    ("flask-wtf", Below("1.1"), &["flask<2.3"]),
    ("flask-wtf", Below("1.2"), &["flask<3"]),
    ("dash", Below("2.3.1"), &["werkzeug<2.1"]),
    ("marshmallow-sqlalchemy", Below("1.1"), &["marshmallow<4"]),
    ("eventlet", Below("0.30.3"), &["dnspython<2"]),
    // Its worker was taken out of later releases.
    ("eventlet", Any, &["gunicorn<24"]),
    ("passlib", Any, &["bcrypt<5"]),
    ("openai", Below("1.55.3"), &["httpx<0.28"]),
    ("anthropic", Below("0.39.1"), &["httpx<0.28"]),
    ("groq", Below("0.13"), &["httpx<0.28"]),
    ("streamlit", Below("1.12"), &["protobuf<3.21"]),
    ("streamlit", Below("1.22"), &["altair<5"]),
    ("tensorflow", Below("2.9.1"), &["protobuf<3.21"]),
    ("tensorflow", Below("2.16"), &["numpy<2"]),
    ("tensorflow-cpu", Below("2.9.1"), &["protobuf<3.21"]),
    ("tensorflow-cpu", Below("2.16"), &["numpy<2"]),
    ("torch", Below("2.3"), &["numpy<2"]),
    ("pandas", Below("2.0"), &["sqlalchemy<2"]),
    ("pandas", Below("2.2.2"), &["numpy<2"]),
    ("scipy", Below("1.13"), &["numpy<2"]),
    ("scikit-learn", Below("1.4.2"), &["numpy<2"]),
    ("scikit-image", Below("0.23"), &["numpy<2"]),
    ("matplotlib", Below("3.8.4"), &["numpy<2"]),
    ("seaborn", Below("0.12"), &["numpy<2"]),
    ("statsmodels", Below("0.14.2"), &["numpy<2"]),
    ("opencv-python", Below("4.10.0.84"), &["numpy<2"]),
    ("opencv-python-headless", Below("4.10.0.84"), &["numpy<2"]),
    ("opencv-contrib-python", Below("4.10.0.84"), &["numpy<2"]),
    ("pyarrow", Below("16"), &["numpy<2"]),
    ("h5py", Below("3.11"), &["numpy<2"]),
    ("gensim", Below("4.3.3"), &["numpy<2", "scipy<1.13"]),
    ("spacy", Below("3.8"), &["numpy<2"]),
    ("shap", Below("0.46"), &["numpy<2"]),
    ("bokeh", Below("3.4"), &["numpy<2"]),
    ("bokeh", Below("2.4"), &["jinja2<3.1"]),
    ("holoviews", Below("1.19"), &["numpy<2"]),
    ("xarray", Below("2024.5"), &["numpy<2"]),
    ("keras", Below("2.15"), &["numpy<2"]),
    ("transformers", Below("4.41"), &["numpy<2"]),
    ("chromadb", Below("0.5.4"), &["numpy<2"]),
    ("sentence-transformers", Below("2.3"), &["huggingface-hub<0.26"]),
    ("nbconvert", Below("6.5"), &["jinja2<3.1"]),
    ("sphinx", Below("4.0.2"), &["jinja2<3.1"]),
    ("connexion", Below("2.14.2"), &["werkzeug<2.3"]),
    ("gradio", Below("3.40"), &["pydantic<2", "httpx<0.28"]),
    ("gradio", Below("4.0"), &["httpx<0.28"]),
    ("gradio", Below("5.0"), &["pydantic<2.11"]),
    ("gradio", Below("6.0"), &["starlette<1", "huggingface-hub<1"]),
    ("starlette", Below("0.20"), &["jinja2<3.1"]),
    ("uvicorn", Below("0.15"), &["uvloop<0.22"]),
    ("fastapi-users", Below("10"), &["pyjwt<2.9"]),
    ("djangorestframework-simplejwt", Below("5.2"), &["pyjwt<2.4"]),
];

/// Constraints that keep dependencies at releases which suit what is pinned, and a remark for each pin that asks for some.
/// `asked` are bounds, as `flask<3`, that the source asks for. What the app itself says of a dependency's version always counts more.
pub(crate) fn of(reqs: &[Req], asked: &[&str]) -> (Vec<String>, Vec<String>) {
    let says = |name: &str| reqs.iter().any(|req| req.name == name && (!req.versions.is_empty() || req.line.contains('@')));
    let mut bounds: BTreeMap<&str, Req> = BTreeMap::new();
    let mut notes = Vec::new();
    // A bound may bring its own: Flask-Script needs an old Flask, and that an old Jinja2.
    let mut known: Vec<Req> = reqs.to_vec();
    for line in asked {
        let Ok(Parsed::Keep(bound, _)) = parse(line, &[]) else { continue };
        let (name, limit) = line.split_once('<').unwrap_or((line, ""));
        if says(name) || bounds.get(name).is_some_and(|have| have.is_below(limit)) {
            continue;
        }
        known.push((*bound).clone());
        bounds.insert(name, *bound);
    }
    while !known.is_empty() {
        let mut next = Vec::new();
        for req in &known {
            let found = RULES.iter().filter(|(name, releases, _)| *name == req.name && releases.hold(req));
            let mut taken = Vec::new();
            for line in found.flat_map(|(_, _, lines)| *lines) {
                let Ok(Parsed::Keep(bound, _)) = parse(line, &[]) else { continue };
                let at = line.find('<').unwrap_or(line.len());
                let (name, limit) = (&line[..at], line[at..].trim_start_matches('<'));
                let narrower = bounds.get(name).is_some_and(|have| have.is_below(limit));
                if says(name) || narrower {
                    continue;
                }
                bounds.insert(name, (*bound).clone());
                next.push(*bound);
                taken.retain(|other: &&str| !other.starts_with(&format!("{name}<")));
                taken.push(line);
            }
            if !taken.is_empty() {
                notes.push(format!("{} is used with the releases of its time: {}", req.line, taken.join(", ")));
            }
        }
        known = next;
    }
    let mut lines: Vec<String> = bounds.into_values().map(|bound| bound.line).collect();
    if !says("sqlalchemy") && speaks_to_postgres_by_psycopg2(reqs) && !lines.iter().any(|line| line.starts_with("sqlalchemy<")) {
        lines.push("sqlalchemy<2.1".to_owned());
        notes.push("psycopg2 is here: sqlalchemy<2.1, which takes it for postgresql:// addresses".to_owned());
    }
    (lines, notes)
}

/// Whether `postgresql://` means psycopg2: from 2.1 on `SQLAlchemy` takes its successor, which these apps do not bring.
fn speaks_to_postgres_by_psycopg2(reqs: &[Req]) -> bool {
    let names = |wanted: &[&str]| reqs.iter().any(|req| wanted.contains(&req.name.as_str()));
    names(&["psycopg2", "psycopg2-binary"])
        && !names(&["psycopg"])
        && names(&["sqlalchemy", "flask-sqlalchemy", "sqlmodel", "alembic", "flask-migrate", "flask-appbuilder", "databases"])
}

impl Of {
    fn hold(self, req: &Req) -> bool {
        match self {
            Any => true,
            Below(bound) => req.is_below(bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lines(lines: &[&str]) -> (Vec<String>, Vec<String>) {
        let reqs: Vec<Req> = lines
            .iter()
            .map(|line| match parse(line, &[]).expect("a requirement") {
                Parsed::Keep(req, _) => *req,
                Parsed::Drop(note) => panic!("{note}"),
            })
            .collect();
        of(&reqs, &[])
    }

    #[test]
    fn every_rule_is_well_formed() {
        for (name, releases, lines) in RULES {
            if let Below(bound) = releases {
                assert!(bound.parse::<pep440_rs::Version>().is_ok(), "{name} {bound}");
            }
            for line in lines {
                assert!(matches!(parse(line, &[]), Ok(Parsed::Keep(..))), "{line}");
                assert!(line.contains('<') && !line.contains([' ', '=']), "{line}");
            }
        }
    }

    #[test]
    fn an_old_pin_brings_its_time() {
        let (bounds, notes) = of_lines(&["flask==1.1.2", "requests"]);
        assert_eq!(bounds, ["itsdangerous<2.1", "jinja2<3.1", "markupsafe<2.1", "werkzeug<2.1"]);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert_eq!(of_lines(&["flask", "requests==2.0"]).0, [""; 0]);
        assert_eq!(of_lines(&["flask==3.0.0"]).0, [""; 0]);
        assert_eq!(of_lines(&["flask>=1.0"]).0, [""; 0]);
    }

    #[test]
    fn what_the_app_says_counts_more() {
        let (bounds, _) = of_lines(&["flask==1.1.2", "jinja2==3.0.3", "werkzeug", "markupsafe>=2"]);
        assert_eq!(bounds, ["itsdangerous<2.1", "werkzeug<2.1"]);
    }

    #[test]
    fn servers_and_drivers_that_left_each_other() {
        assert_eq!(of_lines(&["eventlet", "gunicorn", "flask"]).0, ["gunicorn<24"]);
        assert_eq!(of_lines(&["eventlet", "gunicorn==25.0.0"]).0, [""; 0]);
        assert_eq!(of_lines(&["sqlmodel", "psycopg2-binary"]).0, ["sqlalchemy<2.1"]);
        assert_eq!(of_lines(&["sqlmodel", "psycopg2-binary", "psycopg"]).0, [""; 0]);
        assert_eq!(of_lines(&["django", "psycopg2-binary"]).0, [""; 0]);
        assert_eq!(of_lines(&["flask-sqlalchemy", "psycopg2", "sqlalchemy==2.1.0"]).0, [""; 0]);
        assert!(of_lines(&["flask-sqlalchemy==2.4.4", "psycopg2"]).0.contains(&"sqlalchemy<1.4".to_owned()));
    }

    #[test]
    fn bounds_bring_bounds_and_the_narrowest_counts() {
        let (bounds, _) = of_lines(&["flask-script", "flask"]);
        assert_eq!(bounds, ["flask<2", "itsdangerous<2.1", "jinja2<3.1", "markupsafe<2.1", "werkzeug<2.1"]);
        let (bounds, _) = of_lines(&["flask-sqlalchemy==2.4.4", "flask-uploads==0.2.1", "flask==1.1.2"]);
        assert!(bounds.contains(&"sqlalchemy<1.4".to_owned()) && bounds.contains(&"werkzeug<1".to_owned()), "{bounds:?}");
    }
}
