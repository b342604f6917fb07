//! The table of settings: what people call each key of the document, what it is for, and how its value is entered.
//!
//! Forms, the review of a new app's settings, the help pages and the JSON Schema are made from it. What is allowed is said here for
//! people and for clients; [`Settings::violations`](super::Settings::violations) decides, and a test holds the two together.

mod table;

pub use table::FIELDS;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// Its key in the document, dotted, as in a [`Violation`](super::Violation).
    pub key: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// What it is for, in a few sentences.
    pub help: &'static str,
    /// What holds where it is not set, for people.
    pub default: &'static str,
    /// The part of the form it belongs to.
    pub section: Section,
    /// The apps that it means something for.
    pub concerns: Concerns,
    /// How it is entered.
    pub input: Input,
}

/// A part of the form, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// From source to image.
    Build,
    /// Variables.
    Environment,
    /// The database.
    Database,
    /// How much, and how many.
    Scaling,
    /// How visitors are served.
    Serving,
    /// Own domains.
    Domains,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Build, Self::Environment, Self::Database, Self::Scaling, Self::Serving, Self::Domains];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Build => "Build and start",
            Self::Environment => "Variables",
            Self::Database => "Database",
            Self::Scaling => "Resources and scaling",
            Self::Serving => "Serving",
            Self::Domains => "Domains",
        }
    }

    /// A word for anchors and ids.
    pub fn id(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Environment => "variables",
            Self::Database => "database",
            Self::Scaling => "scaling",
            Self::Serving => "serving",
            Self::Domains => "domains",
        }
    }
}

/// The apps that a setting means something for, by their template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns {
    /// All.
    All,
    /// Flask, FastAPI, Django, Python.
    Python,
    /// Express, Node.js, `NestJS`.
    Node,
    /// Those built by a Dockerfile.
    Dockerfile,
    /// Static sites.
    Static,
    /// Nobody: accepted for the sake of documents from the hosted service.
    Nobody,
}

impl Concerns {
    /// Whether apps of that template are meant; `None` where it is still to be recognised, which takes what can be built today.
    pub fn includes(self, template: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Python => template.is_none_or(|name| matches!(name, "flask" | "fastapi" | "django" | "python")),
            Self::Node => template.is_some_and(|name| matches!(name, "express" | "node" | "nestjs")),
            Self::Dockerfile => template == Some("dockerfile"),
            Self::Static => template == Some("static"),
            Self::Nobody => false,
        }
    }
}

/// How a value is entered, and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input {
    /// One line of text.
    Text {
        /// An example.
        example: &'static str,
        /// What it must look like: a regular expression as JSON Schema has them (ECMA 262).
        pattern: &'static str,
        /// The most characters; `u32::MAX` where there is no limit.
        longest: u32,
    },
    /// A command line.
    Command {
        /// An example.
        example: &'static str,
    },
    /// One of a few words, each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
    /// On or off.
    Switch,
    /// A whole number.
    Whole {
        /// The least.
        least: u64,
        /// The most.
        most: u64,
        /// It must be a multiple of it.
        step: u64,
        /// What it counts.
        unit: &'static str,
    },
    /// A number, fractions allowed.
    Fraction {
        /// The least.
        least: f64,
        /// The most.
        most: f64,
        /// What it counts.
        unit: &'static str,
    },
    /// Several words, one a line.
    Lines {
        /// An example.
        example: &'static str,
        /// The words that are allowed; any that is right where there are none.
        words: &'static [&'static str],
    },
    /// Names and values, the latter hidden.
    Variables,
    /// Domains of the app's own.
    Domains,
}

/// The setting of that key.
pub fn find(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

/// The setting that a violation belongs to: that of its key, or the one that holds it (`domains[0].domainName`, `environment.PORT`).
pub fn of_violation(key: &str) -> Option<&'static Field> {
    find(key).or_else(|| {
        let parents = key.char_indices().rev().filter(|(_, c)| matches!(c, '.' | '[')).map(|(at, _)| &key[..at]);
        parents.into_iter().find_map(find)
    })
}
