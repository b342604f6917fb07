//! What the source uses that newer releases no longer have: where nothing says which release is wanted, one that has it is.
//!
//! An app whose requirements name no versions was made for those of its day, and its own lines tell which day that was:
//! `from flask import Markup` is of before Flask 3. Only names that are certain count, and none that the app takes in an attempt
//! or under a condition, since then it minds the newer releases, too.

use crate::python::requirement::Req;
use crate::text;
use crate::tree::READ_LIMIT;

use super::entry;
use super::module::{Module, Place};
use super::modules::Modules;

/// How a line shows its age.
enum Sign {
    /// `from MODULE import NAME` with one of these names.
    Name(&'static str, &'static [&'static str]),
    /// Anything from a module, or from one inside of it.
    Module(&'static str),
    /// This text, outside of comments.
    Text(&'static str),
    /// `TemplateResponse("page.html", …)`: the request comes first now.
    NameBeforeRequest,
    /// `db.create_all()` while the module is imported, without an application context.
    NoContext,
}

use Sign::{Name, NameBeforeRequest, NoContext, Text};

/// A sign, the releases that suit it, and the distributions of which the app must not have named a version itself.
struct Rule(Sign, &'static [&'static str], &'static [&'static str]);

const URLS: [&str; 12] = [
    "url_decode",
    "url_encode",
    "url_fix",
    "url_join",
    "url_parse",
    "url_quote",
    "url_quote_plus",
    "url_unparse",
    "url_unquote",
    "url_unquote_plus",
    "uri_to_iri",
    "Href",
];

const RULES: [Rule; 24] = [
    Rule(Name("flask", &["Markup", "escape"]), &["flask<3"], &["flask"]),
    Rule(Name("flask", &["_app_ctx_stack", "_request_ctx_stack"]), &["flask<2.3"], &["flask"]),
    Rule(Name("flask", &["safe_join"]), &["flask<2.1"], &["flask"]),
    Rule(Name("flask.json", &["JSONEncoder", "JSONDecoder"]), &["flask<2.3"], &["flask"]),
    Rule(Text(".before_first_request"), &["flask<2.3"], &["flask"]),
    Rule(Name("werkzeug.urls", &URLS), &["werkzeug<3", "flask<3"], &["flask", "werkzeug"]),
    Rule(Name("werkzeug.security", &["safe_str_cmp"]), &["werkzeug<2.1", "flask<2.2"], &["flask", "werkzeug"]),
    Rule(
        Name("werkzeug", &["secure_filename", "generate_password_hash", "check_password_hash", "FileStorage"]),
        &["werkzeug<1", "flask<1.2"],
        &["flask", "werkzeug"],
    ),
    Rule(Sign::Module("werkzeug.contrib"), &["werkzeug<1", "flask<1.2"], &["flask", "werkzeug"]),
    Rule(
        Name("itsdangerous", &["TimedJSONWebSignatureSerializer", "JSONWebSignatureSerializer"]),
        &["itsdangerous<2.1", "flask<2.3"],
        &["flask", "itsdangerous"],
    ),
    Rule(
        Name("jinja2", &["Markup", "escape", "contextfunction", "contextfilter", "evalcontextfilter", "environmentfilter"]),
        &["jinja2<3.1", "flask<2.3"],
        &["flask", "jinja2"],
    ),
    Rule(Sign::Module("wtforms.fields.html5"), &["wtforms<3"], &["wtforms"]),
    Rule(Name("wtforms", &["TextField"]), &["wtforms<3"], &["wtforms"]),
    Rule(Name("flask_migrate", &["MigrateCommand"]), &["flask-migrate<3"], &["flask-migrate"]),
    Rule(
        Name("flask_jwt_extended", &["jwt_refresh_token_required", "jwt_optional", "get_raw_jwt", "fresh_jwt_required"]),
        &["flask-jwt-extended<4"],
        &["flask-jwt-extended"],
    ),
    Rule(NoContext, &["flask-sqlalchemy<3"], &["flask-sqlalchemy", "flask"]),
    Rule(Text(".engine.execute("), &["sqlalchemy<2"], &["sqlalchemy", "flask-sqlalchemy"]),
    Rule(Name("pydantic", &["BaseSettings"]), &["pydantic<2"], &["pydantic", "pydantic-settings"]),
    Rule(NameBeforeRequest, &["starlette<1"], &["starlette"]),
    Rule(Name("django.conf.urls", &["url"]), &["django<4"], &["django"]),
    Rule(
        Name("django.utils.translation", &["ugettext", "ugettext_lazy", "ungettext", "ungettext_lazy"]),
        &["django<4"],
        &["django"],
    ),
    Rule(Name("django.utils.encoding", &["force_text", "smart_text"]), &["django<4"], &["django"]),
    Rule(Name("django.utils.encoding", &["python_2_unicode_compatible"]), &["django<3"], &["django"]),
    Rule(Sign::Module("gradio.inputs"), &["gradio<4"], &["gradio"]),
];

/// Names that moved from `collections` to `collections.abc` for good with Python 3.10.
const ABSTRACT: [&str; 9] =
    ["Callable", "Hashable", "Iterable", "Iterator", "Mapping", "MutableMapping", "MutableSequence", "Sequence", "Set"];

/// At most so many files are looked through.
const FILES: usize = 500;

/// What the source asks for.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Releases, as `flask<3`.
    pub(super) bounds: Vec<&'static str>,
    /// A sentence for the log, for each rule that holds.
    pub(super) notes: Vec<String>,
    /// Whether it uses names that Python's own modules have dropped.
    pub(super) older_python: bool,
}

/// Looks for them in all files of the app's own.
pub(super) fn find(modules: &Modules<'_>, reqs: &[Req]) -> Findings {
    let mut out = Findings::default();
    let says = |name: &str| reqs.iter().any(|req| req.name == name && (!req.versions.is_empty() || req.line.contains('@')));
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| !rule.2.iter().any(|name| says(name))).collect();
    for path in entry::python_files(modules.tree).into_iter().filter(|path| !entry::is_aside(path)).take(FILES) {
        let Ok(bytes) = modules.tree.read(&path, READ_LIMIT) else { continue };
        let source = text::decode(&bytes);
        let worth = |rule: &&&Rule| rule.0.words().iter().all(|word| source.contains(word));
        let likely: Vec<&&Rule> = rules.iter().filter(worth).collect();
        let collections = source.contains("collections") || source.contains("getargspec");
        if likely.is_empty() && !collections {
            continue;
        }
        let Some(module) = modules.get(&path) else { continue };
        if collections {
            out.older_python |= uses(&module, "collections", &ABSTRACT) || uses(&module, "inspect", &["getargspec"]);
        }
        for rule in likely {
            if rule.0.shows(&module, &source) && !rule.1.iter().all(|bound| out.bounds.contains(bound)) {
                out.bounds.extend_from_slice(rule.1);
                out.notes.push(format!("{path} uses what newer releases no longer have: {} is installed", rule.1.join(", ")));
            }
        }
    }
    out.bounds.sort_unstable();
    out.bounds.dedup();
    out
}

/// Whether a module imports one of these names, at its top and unconditionally.
fn uses(module: &Module, from: &str, names: &[&str]) -> bool {
    module.imports.iter().any(|(local, import)| {
        import.level == 0
            && import.module == from
            && import.name.as_deref().is_some_and(|name| names.contains(&name))
            && !module.attempted.contains(local)
    })
}

impl Sign {
    /// Words without which a file need not be parsed.
    const fn words(&self) -> &[&'static str] {
        match self {
            Self::Name(module, _) | Self::Module(module) => std::slice::from_ref(module),
            Self::Text(text) => std::slice::from_ref(text),
            Self::NameBeforeRequest => &["TemplateResponse("],
            Self::NoContext => &["create_all("],
        }
    }

    fn shows(&self, module: &Module, source: &str) -> bool {
        match self {
            Self::Name(from, names) => uses(module, from, names),
            Self::Module(within) => module.imports.iter().any(|(local, import)| {
                import.level == 0
                    && import.module.strip_prefix(within).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                    && !module.attempted.contains(local)
            }),
            Self::Text(text) => source.lines().any(|line| line.contains(text) && !line.trim_start().starts_with('#')),
            Self::NameBeforeRequest => {
                module.packages.iter().any(|package| package == "fastapi" || package == "starlette")
                    && source
                        .match_indices("TemplateResponse(")
                        .any(|(at, call)| source[at + call.len()..].trim_start().starts_with(['"', '\'']))
            }
            Self::NoContext => {
                !source.contains("app_context")
                    && module.packages.contains("flask")
                    && module.calls.iter().any(|call| {
                        call.place == Place::Module && call.name.ends_with(".create_all") && !call.name.contains("metadata")
                    })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{FASTAPI, FLASK, plan_of};
    use crate::plan::Plan;

    fn constraints(plan: &Plan) -> Vec<&str> {
        let file = plan.dependencies.generated.iter().find(|file| file.name == "constraints.txt");
        file.map_or_else(Vec::new, |file| file.contents.lines().filter(|line| !line.starts_with("setuptools")).collect())
    }

    #[test]
    fn lines_tell_which_releases_they_were_written_for() {
        for (requirements, line, wanted) in [
            ("flask", "from flask import Markup", "flask<3"),
            ("flask", "from werkzeug.urls import url_parse", "werkzeug<3"),
            ("flask", "@app.before_first_request\ndef f(): pass", "flask<2.3"),
            ("flask", "from itsdangerous import TimedJSONWebSignatureSerializer as S", "itsdangerous<2.1"),
            ("flask\nflask-wtf", "from wtforms.fields.html5 import EmailField", "wtforms<3"),
            ("flask\nflask-sqlalchemy", "db = SQLAlchemy(app)\ndb.create_all()", "flask-sqlalchemy<3"),
            ("flask\nsqlalchemy", "def f():\n    return db.engine.execute('x')", "sqlalchemy<2"),
        ] {
            let plan = plan_of(&[("app.py", &format!("{FLASK}{line}\n")), ("requirements.txt", requirements)]);
            assert!(constraints(&plan).contains(&wanted), "{line}: {:?}", constraints(&plan));
            assert!(plan.notes.iter().any(|note| note.contains("app.py") && note.contains(wanted)), "{:?}", plan.notes);
        }
        let pages = format!(
            "{FASTAPI}t = Jinja2Templates('x')\n@app.get('/')\ndef f(r):\n    return t.TemplateResponse(\n  'a.html', {{}})\n"
        );
        assert_eq!(constraints(&plan_of(&[("main.py", &pages), ("requirements.txt", "fastapi")])), ["starlette<1"]);
        let settings = "from pydantic import BaseSettings\n";
        let plan = plan_of(&[("main.py", FASTAPI), ("config.py", settings), ("requirements.txt", "fastapi")]);
        assert_eq!(constraints(&plan), ["pydantic<2"]);
    }

    #[test]
    fn a_bound_brings_what_suits_it() {
        let plan = plan_of(&[("app.py", &format!("{FLASK}db.create_all()\n")), ("requirements.txt", "flask\nflask-sqlalchemy")]);
        assert_eq!(constraints(&plan), ["flask<2.3", "flask-sqlalchemy<3", "sqlalchemy<2", "werkzeug<3"]);
    }

    #[test]
    fn what_minds_newer_releases_or_is_pinned_is_left_alone() {
        for (requirements, line) in [
            ("flask==3.0.0", "from flask import Markup"),
            ("flask>=3", "from werkzeug.urls import url_parse"),
            ("flask", "try:\n    from flask import Markup\nexcept ImportError:\n    from markupsafe import Markup"),
            ("flask", "# @app.before_first_request"),
            ("flask", "from markupsafe import Markup, escape"),
            ("flask\nflask-sqlalchemy", "with app.app_context():\n    db.create_all()"),
            ("flask\nsqlalchemy", "Base.metadata.create_all(bind=engine)"),
            ("flask", "if OLD:\n    from werkzeug.contrib.fixers import ProxyFix"),
        ] {
            let plan = plan_of(&[("app.py", &format!("{FLASK}{line}\n")), ("requirements.txt", requirements)]);
            assert_eq!(constraints(&plan), [""; 0], "{line}");
        }
        let new = format!("{FASTAPI}t.TemplateResponse(request, 'a.html')\n");
        assert_eq!(constraints(&plan_of(&[("main.py", &new), ("requirements.txt", "fastapi")])), [""; 0]);
        let test =
            plan_of(&[("app.py", FLASK), ("tests/test_a.py", "from flask import Markup\n"), ("requirements.txt", "flask")]);
        assert_eq!(constraints(&test), [""; 0]);
    }

    #[test]
    fn names_that_python_moved_are_put_back_for_who_uses_them() {
        let has = |line: &str| {
            let plan = plan_of(&[("app.py", &format!("{FLASK}{line}\n")), ("requirements.txt", "flask")]);
            plan.dependencies.generated.iter().any(|file| file.name == "adaptable_older.py")
        };
        assert!(has("from collections import Mapping, OrderedDict") && has("from inspect import getargspec"));
        assert!(!has("from collections import OrderedDict") && !has("from collections.abc import Mapping"));
        assert!(!has("try:\n    from collections.abc import Mapping\nexcept ImportError:\n    from collections import Mapping"));
    }
}
