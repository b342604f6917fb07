//! What expressions say, as far as it can be told from their syntax.

use std::collections::BTreeMap;

use ruff_python_ast::{self as ast, Expr};

use super::{Given, Names};
use crate::recognise::module::dotted;

/// A variable that a call reads, and the default that is given for it.
pub(super) fn environment<'a>(call: &'a ast::ExprCall, names: &Names) -> Option<(String, Option<&'a Expr>)> {
    let full = names.stands_for(&dotted(&call.func)?);
    let name = text(call.arguments.args.first()?)?;
    let second = call.arguments.args.get(1);
    match full.as_str() {
        "os.environ.get" | "os.getenv" | "os.environ.pop" => {
            Some((name, second.or_else(|| call.arguments.find_keyword("default").map(|keyword| &keyword.value))))
        }
        "decouple.config" => Some((name, call.arguments.find_keyword("default").map(|keyword| &keyword.value))),
        _ => None,
    }
}

pub(super) fn catches_missing(handler: &ast::ExceptHandler) -> bool {
    let ast::ExceptHandler::ExceptHandler(handler) = handler;
    let named = |kind: &Expr| {
        dotted(kind).is_some_and(|name| matches!(name.as_str(), "KeyError" | "Exception" | "BaseException" | "LookupError"))
    };
    match handler.type_.as_deref() {
        None => true,
        Some(Expr::Tuple(kinds)) => kinds.elts.iter().any(named),
        Some(kind) => named(kind),
    }
}

pub(super) fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::StringLiteral(text) => Some(text.value.to_str().to_owned()),
        _ => None,
    }
}

pub(super) fn mode(argument: Option<&Expr>) -> Option<String> {
    argument.and_then(text)
}

#[expect(clippy::needless_pass_by_value, reason = "as `is_some_and` hands it over")]
pub(super) fn writes(mode: String) -> bool {
    mode.len() <= 4 && mode.chars().all(|c| "rwaxbt+U".contains(c)) && mode.contains(['w', 'a', 'x', '+'])
}

/// The address of a SQLite database in a file.
pub(super) fn is_sqlite(text: &str) -> bool {
    let Some((kind, path)) = text.split_once("://") else { return false };
    kind.starts_with("sqlite") && !kind.contains(' ') && !path.trim_matches('/').is_empty() && !path.contains(":memory:")
        || text == "sqlite:///"
}

pub(super) fn is_django_sqlite(text: &str) -> bool {
    matches!(text, "django.db.backends.sqlite3" | "django.contrib.gis.db.backends.spatialite")
}

/// Names under which applications go.
pub(super) fn is_app(name: &str) -> bool {
    let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner).to_ascii_lowercase();
    owner.split(['.', '_']).any(|part| matches!(part, "app" | "application" | "server" | "dash" | "api" | "webapp" | "flask"))
}

/// What an expression gives, where that can be told.
pub(super) fn given(expression: &Expr, names: &BTreeMap<String, Given>) -> Given {
    match expression {
        Expr::StringLiteral(text) => Given::Literal(text.value.to_str().to_owned()),
        Expr::NumberLiteral(ast::ExprNumberLiteral { value: ast::Number::Int(number), .. }) => Given::Literal(number.to_string()),
        Expr::Name(name) => names.get(name.id.as_str()).cloned().unwrap_or(Given::Unknown),
        Expr::BoolOp(either) => either.values.first().map_or(Given::Unknown, |value| given(value, names)),
        Expr::Subscript(place) if dotted(&place.value).is_some_and(|name| name.ends_with("environ")) => {
            text(&place.slice).map_or(Given::Unknown, Given::Variable)
        }
        Expr::Call(call) => {
            let name = dotted(&call.func).unwrap_or_default();
            let first = call.arguments.args.first();
            if matches!(name.as_str(), "int" | "str") {
                return first.map_or(Given::Unknown, |value| given(value, names));
            }
            let reads = name.ends_with("environ.get") || name.rsplit('.').next() == Some("getenv");
            first.and_then(text).filter(|_| reads).map_or(Given::Unknown, Given::Variable)
        }
        _ => Given::Unknown,
    }
}
