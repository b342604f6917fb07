//! What one Python file says, read from its syntax; nothing of it is run.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{self as ast, Expr, Stmt};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};

use super::depth;

/// The facts of a module.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// Its path in the tree.
    pub(crate) path: String,
    /// Local names from imports at module level.
    pub(crate) imports: BTreeMap<String, Import>,
    /// Those of them that are imported in an attempt or under a condition.
    pub(crate) attempted: BTreeSet<String>,
    /// Modules of `from x import *`.
    pub(crate) stars: Vec<Import>,
    /// First parts of all absolute imports, wherever they stand.
    pub(crate) packages: BTreeSet<String>,
    /// Whether it imports relatively, so that it must be part of a package.
    pub(crate) relative: bool,
    /// What names are bound to at module level, in order.
    pub(crate) binds: Vec<Bind>,
    pub(crate) functions: BTreeMap<String, Function>,
    /// The bases of classes.
    pub(crate) classes: BTreeMap<String, Vec<String>>,
    /// All calls of named functions.
    pub(crate) calls: Vec<Call>,
    /// Whether there is an `if __name__ == "__main__"`.
    pub(crate) main_guard: bool,
    /// Names that decorators such as `@app.route` hang on.
    pub(crate) decorated: BTreeSet<String>,
    /// The first place that is not Python 3, with what the parser says.
    pub(crate) error: Option<(usize, String)>,
}

/// What an imported name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    /// Dots of a relative import.
    pub(crate) level: u32,
    /// The module, without leading dots.
    pub(crate) module: String,
    /// The name inside of it; none when the module itself is meant.
    pub(crate) name: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// Only when run as a script: not there for an importer.
    pub(crate) guarded: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Function {
    /// The names of parameters that have no default.
    pub(crate) required: Vec<String>,
    /// How many arguments it takes by their position, at most; none where it takes any number.
    pub(crate) most: Option<usize>,
    pub(crate) is_async: bool,
    pub(crate) binds: Vec<(String, Value)>,
    pub(crate) returns: Vec<Value>,
    /// The return annotation as a dotted name.
    pub(crate) annotation: Option<String>,
    /// Imports inside the function.
    pub(crate) imports: BTreeMap<String, Import>,
    /// Dotted names of decorators.
    pub(crate) decorators: Vec<String>,
}

/// An expression, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A call of a dotted name, with its positional arguments.
    Call(String, Vec<Self>),
    /// A call of an attribute of something that is no name: only the attribute is known.
    Method(String),
    /// A dotted name.
    Name(String),
    Text(String),
    Tuple(Vec<Self>),
    /// One of the parts that a call's result is unpacked into.
    Item(Box<Self>, usize),
    Other,
}

/// A call somewhere in the module.
#[derive(Debug)]
pub(crate) struct Call {
    /// `app.run`, `uvicorn.run`.
    pub(crate) name: String,
    pub(crate) args: Vec<Value>,
    pub(crate) place: Place,
}

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Runs when the module is imported.
    Module,
    /// Runs when the module is the script.
    Guard,
    /// Inside a function.
    Function,
}

impl Module {
    /// Reads a file's text; what can't be parsed is passed over, what can is kept.
    pub(crate) fn parse(path: &str, source: &str) -> Self {
        if let Some(line) = depth::too_deep(source) {
            let error = Some((line, "an expression that goes on too long to be read".to_owned()));
            return Self { path: path.to_owned(), error, ..Self::default() };
        }
        let parsed = parse_unchecked(source, ParseOptions::from(Mode::Module));
        let mut module = Self { path: path.to_owned(), ..Self::default() };
        if let Some(error) = parsed.errors().first() {
            let at = usize::from(error.location.start()).min(source.len());
            let line = source.get(..at).unwrap_or(source).matches('\n').count() + 1;
            module.error = Some((line, error.error.to_string()));
        }
        if let ast::Mod::Module(ast::ModModule { body, .. }) = parsed.syntax() {
            let mut reader = Reader { module: &mut module, place: Place::Module, attempt: false };
            reader.body(body, false);
        }
        module
    }

    /// The default of an environment variable, from `os.environ.setdefault(…)`.
    pub(crate) fn environment_default(&self, variable: &str) -> Option<&str> {
        self.calls.iter().filter(|call| call.name.ends_with("environ.setdefault")).find_map(|call| match call.args.as_slice() {
            [Value::Text(name), Value::Text(value)] if name == variable => Some(value.as_str()),
            _ => None,
        })
    }
}

struct Reader<'a> {
    module: &'a mut Module,
    place: Place,
    /// Inside a `try` or an `if`.
    attempt: bool,
}

impl Reader<'_> {
    fn body(&mut self, body: &[Stmt], guarded: bool) {
        for statement in body {
            self.statement(statement, guarded);
        }
    }

    fn statement(&mut self, statement: &Stmt, guarded: bool) {
        match statement {
            Stmt::Import(import) => {
                for (name, import) in imports(import) {
                    self.import(name, import);
                }
            }
            Stmt::ImportFrom(import) => {
                for (name, import) in from_imports(import) {
                    if name == "*" {
                        self.module.stars.push(import);
                    } else {
                        self.import(name, import);
                    }
                }
            }
            Stmt::FunctionDef(function) => {
                for decorator in &function.decorator_list {
                    let expression = match &decorator.expression {
                        Expr::Call(call) => &call.func,
                        other => other,
                    };
                    if let Some((owner, _)) = dotted(expression).as_deref().and_then(|name| name.rsplit_once('.')) {
                        self.module.decorated.insert(owner.to_owned());
                    }
                }
                self.module.functions.insert(function.name.to_string(), read_function(function));
            }
            Stmt::ClassDef(class) => {
                let bases = class.arguments.iter().flat_map(|arguments| arguments.args.iter()).filter_map(dotted).collect();
                self.module.classes.insert(class.name.to_string(), bases);
            }
            Stmt::Assign(_) | Stmt::AnnAssign(_) | Stmt::With(_) => {
                for (name, value) in bound(statement) {
                    self.module.binds.push(Bind { name, value, guarded });
                }
            }
            _ => {}
        }
        if let Stmt::If(test) = statement
            && is_main_guard(&test.test)
        {
            self.module.main_guard = true;
            let before = std::mem::replace(&mut self.place, Place::Guard);
            self.body(&test.body, true);
            self.place = before;
            for clause in &test.elif_else_clauses {
                self.body(&clause.body, guarded);
            }
            return;
        }
        let blocks = blocks(statement);
        if blocks.is_empty() {
            // Calls and nested imports of whole statements; blocks are visited one statement at a time.
            let mut collector = Collector { module: self.module, place: self.place };
            collector.visit_stmt(statement);
        } else {
            let before = self.attempt;
            self.attempt |= matches!(statement, Stmt::Try(_) | Stmt::If(_));
            for block in blocks {
                self.body(block, guarded);
            }
            self.attempt = before;
        }
    }

    fn import(&mut self, name: String, import: Import) {
        if self.attempt {
            self.module.attempted.insert(name.clone());
        }
        self.module.imports.insert(name, import);
    }
}

/// The blocks of a compound statement that run as part of the module.
fn blocks(statement: &Stmt) -> Vec<&[Stmt]> {
    match statement {
        Stmt::If(test) => std::iter::once(&*test.body).chain(test.elif_else_clauses.iter().map(|clause| &*clause.body)).collect(),
        Stmt::Try(attempt) => {
            let handlers = attempt.handlers.iter().map(|handler| {
                let ast::ExceptHandler::ExceptHandler(handler) = handler;
                &*handler.body
            });
            // Handlers first: what the attempt itself binds is what counts.
            handlers.chain([&*attempt.body, &*attempt.orelse, &*attempt.finalbody]).collect()
        }
        Stmt::With(with) => vec![&with.body],
        Stmt::For(each) => vec![&each.body, &each.orelse],
        Stmt::While(again) => vec![&again.body, &again.orelse],
        _ => Vec::new(),
    }
}

fn is_main_guard(test: &Expr) -> bool {
    let Expr::Compare(compare) = test else { return false };
    let sides = [Some(&*compare.left), compare.comparators.first()];
    let name = sides.iter().flatten().any(|side| dotted(side).as_deref() == Some("__name__"));
    let main = sides.iter().flatten().any(|side| matches!(value(side), Value::Text(text) if text == "__main__"));
    name && main && matches!(compare.ops.first(), Some(ast::CmpOp::Eq | ast::CmpOp::In))
}

fn imports(import: &ast::StmtImport) -> Vec<(String, Import)> {
    let one = |alias: &ast::Alias| {
        let module = alias.name.to_string();
        if let Some(local) = &alias.asname {
            return (local.to_string(), Import { level: 0, module, name: None });
        }
        // `import a.b` binds `a`.
        let first = module.split('.').next().unwrap_or(&module).to_owned();
        (first.clone(), Import { level: 0, module: first, name: None })
    };
    import.names.iter().map(one).collect()
}

fn from_imports(import: &ast::StmtImportFrom) -> Vec<(String, Import)> {
    let module = import.module.as_ref().map(ToString::to_string).unwrap_or_default();
    let one = |alias: &ast::Alias| {
        let local = alias.asname.as_ref().unwrap_or(&alias.name).to_string();
        (local, Import { level: import.level, module: module.clone(), name: Some(alias.name.to_string()) })
    };
    import.names.iter().map(one).collect()
}

/// The names that an assignment, or a `with … as`, binds.
fn bound(statement: &Stmt) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    let mut bind = |target: &Expr, expression: &Expr| match target {
        Expr::Name(name) => out.push((name.id.to_string(), value(expression))),
        Expr::Tuple(targets) => {
            let values: Vec<Value> = match expression {
                Expr::Tuple(values) => values.elts.iter().map(value).collect(),
                // `app, socketio = create_app()`.
                _ => (0..targets.elts.len()).map(|at| Value::Item(Box::new(value(expression)), at)).collect(),
            };
            for (target, value) in targets.elts.iter().zip(values) {
                if let Expr::Name(name) = target {
                    out.push((name.id.to_string(), value));
                }
            }
        }
        _ => {}
    };
    match statement {
        Stmt::Assign(assign) => {
            for target in &assign.targets {
                bind(target, &assign.value);
            }
        }
        Stmt::AnnAssign(assign) => {
            if let Some(expression) = &assign.value {
                bind(&assign.target, expression);
            }
        }
        Stmt::With(with) => {
            for item in &with.items {
                if let Some(target) = &item.optional_vars {
                    bind(target, &item.context_expr);
                }
            }
        }
        _ => {}
    }
    out
}

fn read_function(function: &ast::StmtFunctionDef) -> Function {
    let mut out = Function { is_async: function.is_async, ..Function::default() };
    let by_position = function.parameters.posonlyargs.len() + function.parameters.args.len();
    out.most = function.parameters.vararg.is_none().then_some(by_position);
    let parameters = function.parameters.iter_non_variadic_params();
    out.required = parameters
        .filter(|parameter| parameter.default.is_none())
        .map(|parameter| parameter.parameter.name.to_string())
        .collect();
    out.annotation = function.returns.as_deref().and_then(|returns| {
        // A quoted annotation is a text.
        if let Value::Text(text) = value(returns) { Some(text) } else { dotted(returns) }
    });
    let name = |decorator: &ast::Decorator| match &decorator.expression {
        Expr::Call(call) => dotted(&call.func),
        other => dotted(other),
    };
    out.decorators = function.decorator_list.iter().filter_map(name).collect();
    function_body(&function.body, &mut out);
    out
}

fn function_body(body: &[Stmt], out: &mut Function) {
    for statement in body {
        match statement {
            Stmt::Import(import) => out.imports.extend(imports(import)),
            Stmt::ImportFrom(import) => out.imports.extend(from_imports(import)),
            Stmt::Return(returned) => out.returns.extend(returned.value.as_deref().map(value)),
            _ => {}
        }
        out.binds.extend(bound(statement));
        for block in blocks(statement) {
            function_body(block, out);
        }
    }
}

/// A name with its attributes: `a.b.c`.
pub(crate) fn dotted(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(&attribute.value)?, attribute.attr)),
        _ => None,
    }
}

/// What an expression is, as far as it matters.
fn value(expression: &Expr) -> Value {
    match expression {
        Expr::StringLiteral(text) => Value::Text(text.value.to_str().to_owned()),
        Expr::NumberLiteral(ast::ExprNumberLiteral { value: ast::Number::Int(number), .. }) => Value::Text(number.to_string()),
        Expr::Call(call) => match (dotted(&call.func), &*call.func) {
            (Some(name), _) => Value::Call(name, call.arguments.args.iter().map(value).collect()),
            (None, Expr::Attribute(attribute)) => Value::Method(attribute.attr.to_string()),
            _ => Value::Other,
        },
        Expr::Await(awaited) => value(&awaited.value),
        Expr::Tuple(tuple) => Value::Tuple(tuple.elts.iter().map(value).collect()),
        Expr::Named(named) => value(&named.value),
        // `app = app or Flask(__name__)`: the last is what is made.
        Expr::BoolOp(either) => either.values.last().map_or(Value::Other, value),
        Expr::If(either) => value(&either.body),
        other => dotted(other).map_or(Value::Other, Value::Name),
    }
}

/// Collects calls and imports from everywhere below a statement.
struct Collector<'a> {
    module: &'a mut Module,
    place: Place,
}

impl<'a> Visitor<'a> for Collector<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    self.module.packages.extend(alias.name.split('.').next().map(ToOwned::to_owned));
                }
            }
            Stmt::ImportFrom(import) if import.level > 0 => self.module.relative = true,
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map(ToString::to_string).unwrap_or_default();
                self.module.packages.extend(module.split('.').next().map(ToOwned::to_owned));
            }
            Stmt::FunctionDef(_) => {
                let before = std::mem::replace(&mut self.place, Place::Function);
                walk_stmt(self, statement);
                self.place = before;
                return;
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Call(call) = expression
            && let Some(name) = dotted(&call.func)
        {
            self.module.calls.push(Call { name, args: call.arguments.args.iter().map(value).collect(), place: self.place });
        }
        // Lambdas run later, if at all.
        let before = self.place;
        if matches!(expression, Expr::Lambda(_)) {
            self.place = Place::Function;
        }
        walk_expr(self, expression);
        self.place = before;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(source: &str) -> Module {
        Module::parse("app.py", source)
    }

    #[test]
    fn binds_functions_and_guards() {
        let module = parse(
            "import flask\nfrom x import y as z\ntry:\n    app: object = flask.Flask(__name__)\nexcept E:\n    app = None\n\
             def make(a=1, *, b=2) -> 'Flask':\n    r = Flask(n)\n    return r\n\
             if __name__ == '__main__':\n    import os\n    dev = make()\n    app.run(port=5000)\n",
        );
        assert_eq!(module.imports["z"].name.as_deref(), Some("y"));
        assert_eq!(
            module.binds.iter().rfind(|b| b.name == "app").unwrap().value,
            Value::Call("flask.Flask".into(), vec![Value::Name("__name__".into())])
        );
        assert!(module.binds.iter().any(|bind| bind.name == "dev" && bind.guarded));
        assert_eq!(module.functions["make"].annotation.as_deref(), Some("Flask"));
        assert!(module.functions["make"].required.is_empty());
        assert!(module.calls.iter().any(|call| call.name == "app.run" && call.place == Place::Guard));
        assert!(module.main_guard && module.packages.contains("os"));
    }

    #[test]
    fn old_and_broken_files_are_read_as_far_as_they_go() {
        let module = parse("from flask import Flask\napp = Flask(__name__)\nprint 'hello'\nexec 'x'\n");
        assert_eq!(module.binds[0].name, "app");
        assert_eq!(module.error.as_ref().unwrap().0, 3);
        assert_eq!(parse("def f(:\n").error.as_ref().unwrap().0, 1);
        // Deep nesting must not exhaust the stack.
        parse(&format!("x = {}1{}", "(".repeat(5000), ")".repeat(5000)));
    }
}
