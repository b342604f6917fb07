//! All modules of a tree, parsed when first asked for, and what their names stand for across files.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::python::requirements::{child, parent};
use crate::text;
use crate::tree::SourceTree;

use super::kinds::{self, Kind};
use super::module::{Function, Import, Module, Value};

/// The largest Python file that is read; generated tables are larger.
const FILE_LIMIT: u64 = 1024 * 1024;
/// How far names are followed from file to file.
const DEPTH_LIMIT: usize = 12;
/// How many names are followed in a whole tree: files that import each other could lead in circles for ever.
const STEP_LIMIT: u32 = 500_000;

/// The modules of a tree.
pub(crate) struct Modules<'a> {
    pub(crate) tree: &'a dyn SourceTree,
    parsed: RefCell<BTreeMap<String, Option<Rc<Module>>>>,
    steps: Cell<u32>,
}

impl<'a> Modules<'a> {
    pub(crate) fn new(tree: &'a dyn SourceTree) -> Self {
        Self { tree, parsed: RefCell::default(), steps: Cell::new(0) }
    }

    /// Counts a step, and tells whether it was one too many.
    fn spent(&self, depth: usize) -> bool {
        let steps = self.steps.get().saturating_add(1);
        self.steps.set(steps);
        depth > DEPTH_LIMIT || steps > STEP_LIMIT
    }

    /// The text of a file, if it can be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.tree.read(path, FILE_LIMIT).ok().map(|bytes| text::decode(&bytes))
    }

    /// A module by its path.
    pub(crate) fn get(&self, path: &str) -> Option<Rc<Module>> {
        if let Some(known) = self.parsed.borrow().get(path) {
            return known.clone();
        }
        let module = self.tree.has(path).then(|| self.text(path)).flatten().map(|text| Rc::new(Module::parse(path, &text)));
        self.parsed.borrow_mut().insert(path.to_owned(), module.clone());
        module
    }

    /// The file of a module as another one, at `from`, would import it.
    pub(crate) fn locate(&self, from: &str, level: u32, module: &str) -> Option<String> {
        let relative = module.replace('.', "/");
        let here = parent(from);
        let bases: Vec<String> = if level > 0 {
            let mut base = here;
            for _ in 1..level {
                base = parent(base);
            }
            vec![base.to_owned()]
        } else {
            // From its own directory upwards: a script's directory comes first in Python, too.
            let mut bases = vec![here.to_owned()];
            let mut base = here;
            while !base.is_empty() {
                base = parent(base);
                bases.push(base.to_owned());
            }
            bases.push(child(here, "src"));
            bases
        };
        bases.iter().find_map(|base| {
            let stem = if relative.is_empty() { base.clone() } else { child(base, &relative) };
            let options = if relative.is_empty() {
                vec![child(&stem, "__init__.py")]
            } else {
                vec![format!("{stem}/__init__.py"), format!("{stem}.py")]
            };
            options.into_iter().find(|path| self.tree.has(path))
        })
    }

    /// What a module-level name is, if it is an application.
    pub(crate) fn kind_of_name(&self, module: &Module, name: &str, depth: usize) -> Option<Kind> {
        if self.spent(depth) {
            return None;
        }
        let bind =
            module.binds.iter().rev().find(|bind| bind.name == name && !bind.guarded && bind.value != Value::Name("None".into()));
        if let Some(bind) = bind {
            return self.kind_of_value(module, None, &bind.value, depth + 1);
        }
        if let Some(function) = module.functions.get(name) {
            return callable(function);
        }
        let import = module.imports.get(name)?;
        self.kind_of_import(module, import, depth + 1)
    }

    /// Asks something of the function that a module-level name is, through imports of the tree; nothing where it is none.
    pub(crate) fn function<T>(&self, module: &Module, name: &str, ask: &dyn Fn(&Function) -> Option<T>) -> Option<T> {
        self.function_at(module, name, ask, 0)
    }

    fn function_at<T>(&self, module: &Module, name: &str, ask: &dyn Fn(&Function) -> Option<T>, depth: usize) -> Option<T> {
        if self.spent(depth) || module.binds.iter().any(|bind| bind.name == name && !bind.guarded) {
            return None;
        }
        if let Some(function) = module.functions.get(name) {
            return ask(function);
        }
        // What is imported in an attempt may be something else in the end.
        let import = module.imports.get(name).filter(|_| !module.attempted.contains(name))?;
        let path = self.locate(&module.path, import.level, &import.module)?;
        let other = self.get(&path).filter(|_| path != module.path)?;
        self.function_at(&other, import.name.as_deref()?, ask, depth + 1)
    }

    fn kind_of_import(&self, module: &Module, import: &Import, depth: usize) -> Option<Kind> {
        let name = import.name.as_deref()?;
        let path = self.locate(&module.path, import.level, &import.module)?;
        if path == module.path {
            return None;
        }
        self.kind_of_name(&*self.get(&path)?, name, depth)
    }

    /// What an expression is, if it is an application.
    pub(crate) fn kind_of_value(&self, module: &Module, inside: Option<&Function>, value: &Value, depth: usize) -> Option<Kind> {
        if self.spent(depth) {
            return None;
        }
        match value {
            Value::Call(callee, args) => self.kind_of_call(module, inside, callee, args, depth + 1),
            Value::Method(name) if kinds::is_wsgi_method(name) => Some(Kind::Wsgi),
            Value::Name(name) => self.kind_of_reference(module, inside, name, depth + 1),
            Value::Item(call, at) => match &**call {
                // `app, rt = fast_app()` of FastHTML.
                Value::Call(callee, _) if callee.ends_with("fast_app") && *at == 0 => {
                    self.kind_of_value(module, inside, call, depth + 1)
                }
                Value::Call(callee, _) => self.kind_of_own(module, inside, callee, Some(*at), depth + 1),
                _ => None,
            },
            _ => None,
        }
    }

    fn kind_of_reference(&self, module: &Module, inside: Option<&Function>, name: &str, depth: usize) -> Option<Kind> {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let local = inside.and_then(|function| function.binds.iter().rev().find(|(bound, _)| bound == first));
        let kind = match (local, rest) {
            (Some((_, value)), _) => {
                // `app = wrap(app)` inside a function: the name's earlier value is what it wraps.
                if *value == Value::Name(first.to_owned()) {
                    return None;
                }
                self.kind_of_value(module, inside, value, depth + 1)
            }
            // `package.module.app`.
            (None, Some(rest)) if module.imports.get(first).is_some_and(|import| import.name.is_none()) => {
                let import = &module.imports[first];
                let (path, attr) = rest
                    .rsplit_once('.')
                    .map_or((import.module.clone(), rest), |(middle, attr)| (format!("{}.{middle}", import.module), attr));
                let file = self.locate(&module.path, import.level, &path)?;
                return self.kind_of_name(&*self.get(&file)?, attr, depth + 1);
            }
            (None, _) => self.kind_of_name(module, first, depth + 1),
        }?;
        match (kind, rest) {
            (kind, None) => Some(kind),
            (Kind::Dash, Some("server")) | (Kind::Connexion, Some("app")) => Some(Kind::Flask),
            (Kind::Flask, Some("wsgi_app")) => Some(Kind::Wsgi),
            _ => None,
        }
    }

    fn kind_of_call(
        &self,
        module: &Module,
        inside: Option<&Function>,
        callee: &str,
        args: &[Value],
        depth: usize,
    ) -> Option<Kind> {
        if self.spent(depth) {
            return None;
        }
        if callee.rsplit('.').next().is_some_and(kinds::is_wsgi_method) {
            return Some(Kind::Wsgi);
        }
        for qualified in qualify(module, inside, callee) {
            if let Some(kind) = kinds::maker(&qualified) {
                // A wrapper of Django's that is also used for others.
                return Some(kind);
            }
        }
        if let Some(kind) = self.kind_of_own(module, inside, callee, None, depth) {
            return Some(kind);
        }
        if kinds::is_wrapper(callee) {
            return args.iter().find_map(|arg| match arg {
                // `application = Middleware(application)` wraps what the name was before.
                Value::Name(name) => self.earlier(module, inside, name, callee, depth + 1),
                other => self.kind_of_value(module, inside, other, depth + 1),
            });
        }
        None
    }

    /// What a name was bound to before it was wrapped.
    fn earlier(&self, module: &Module, inside: Option<&Function>, name: &str, wrapper: &str, depth: usize) -> Option<Kind> {
        let wraps = |value: &Value| matches!(value, Value::Call(callee, _) if callee == wrapper);
        let bound = inside
            .and_then(|function| function.binds.iter().rev().find(|(bound, value)| bound == name && !wraps(value)))
            .map(|(_, value)| value)
            .or_else(|| module.binds.iter().rev().find(|bind| bind.name == name && !wraps(&bind.value)).map(|bind| &bind.value));
        match bound {
            Some(value) => self.kind_of_value(module, inside, value, depth + 1),
            None => self.kind_of_reference(module, None, name, depth + 1),
        }
    }

    /// A function or class of the tree.
    fn kind_of_own(
        &self,
        module: &Module,
        inside: Option<&Function>,
        callee: &str,
        item: Option<usize>,
        depth: usize,
    ) -> Option<Kind> {
        if self.spent(depth) {
            return None;
        }
        if let Some(function) = module.functions.get(callee) {
            return self.kind_of_part(module, function, item, depth + 1);
        }
        if let Some(bases) = module.classes.get(callee) {
            return bases.iter().find_map(|base| self.kind_of_call(module, None, base, &[], depth + 1));
        }
        let (first, rest) = callee.split_once('.').map_or((callee, None), |(first, rest)| (first, Some(rest)));
        let import = inside.and_then(|function| function.imports.get(first)).or_else(|| module.imports.get(first));
        let targets: Vec<(u32, String, &str)> = match (import, rest) {
            (Some(Import { level, module, name: Some(name) }), None) => vec![(*level, module.clone(), name.as_str())],
            // `from package import module` and `module.make()`.
            (Some(Import { level, module, name: Some(name) }), Some(rest)) => {
                let inner = if module.is_empty() { name.clone() } else { format!("{module}.{name}") };
                vec![(*level, inner, rest)]
            }
            (Some(Import { level, module, name: None }), Some(rest)) => {
                let (path, attr) =
                    rest.rsplit_once('.').map_or((module.clone(), rest), |(middle, attr)| (format!("{module}.{middle}"), attr));
                vec![(*level, path, attr)]
            }
            (None, None) => module.stars.iter().map(|star| (star.level, star.module.clone(), callee)).collect(),
            _ => Vec::new(),
        };
        targets.iter().find_map(|(level, path, name)| {
            let file = self.locate(&module.path, *level, path)?;
            if file == module.path {
                return None;
            }
            let other = self.get(&file)?;
            self.kind_of_own(&other, None, name, item, depth + 1)
        })
    }

    /// What a function returns, or one part of it, if that is an application.
    fn kind_of_part(&self, module: &Module, function: &Function, item: Option<usize>, depth: usize) -> Option<Kind> {
        let Some(at) = item else { return self.kind_of_result(module, function, depth) };
        function.returns.iter().find_map(|value| match value {
            Value::Tuple(parts) => self.kind_of_value(module, Some(function), parts.get(at)?, depth + 1),
            _ => None,
        })
    }

    /// What a function returns, if it is an application.
    pub(crate) fn kind_of_result(&self, module: &Module, function: &Function, depth: usize) -> Option<Kind> {
        if self.spent(depth) {
            return None;
        }
        let returned = function.returns.iter().find_map(|value| self.kind_of_value(module, Some(function), value, depth + 1));
        returned.or_else(|| {
            let annotation = function.annotation.as_deref()?;
            qualify(module, Some(function), annotation)
                .iter()
                .find_map(|name| kinds::maker(name))
                .filter(|kind| *kind != Kind::Wsgi)
        })
    }
}

/// The absolute names a dotted name may stand for in a module.
fn qualify(module: &Module, inside: Option<&Function>, name: &str) -> Vec<String> {
    let (first, rest) = name.split_once('.').map_or((name, ""), |(first, rest)| (first, rest));
    let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
    let import = inside.and_then(|function| function.imports.get(first)).or_else(|| module.imports.get(first));
    match import {
        Some(import) if import.level > 0 => Vec::new(),
        Some(Import { module, name: Some(name), .. }) => vec![format!("{module}.{name}{rest}")],
        Some(Import { module, name: None, .. }) => vec![format!("{module}{rest}")],
        // `from flask import *`.
        None => module.stars.iter().filter(|star| star.level == 0).map(|star| format!("{}.{first}{rest}", star.module)).collect(),
    }
}

/// Plain functions that are applications by their parameters or decorator.
fn callable(function: &Function) -> Option<Kind> {
    let required: Vec<&str> = function.required.iter().map(String::as_str).collect();
    match required.as_slice() {
        ["environ" | "env", "start_response" | "start_resp"] => Some(Kind::Wsgi),
        ["scope", "receive", "send"] if function.is_async => Some(Kind::Asgi),
        _ => function.decorators.iter().any(|name| name == "Request.application").then_some(Kind::Wsgi),
    }
}
