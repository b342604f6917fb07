//! What one endpoint takes, gives and is for, as its description needs it.

use api::ErrorCode;
use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Makes the schema of a type.
pub(super) type Make = fn(&mut SchemaGenerator) -> Schema;
/// Says what is wrong with an example of a type.
pub(super) type Check = fn(&Value) -> Result<(), String>;

/// What endpoints are about; the description has them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// The platform.
    Platform,
    /// Apps.
    Apps,
    /// Deployments and revisions.
    Deployments,
    /// Settings and variables.
    Settings,
    /// Databases and their backups.
    Databases,
    /// GitHub, and where apps come from.
    GitHub,
    /// Logs and figures.
    Logs,
    /// Tokens, users and members.
    Access,
}

impl Tag {
    pub(super) const ALL: [Self; 8] =
        [Self::Platform, Self::Apps, Self::Deployments, Self::Settings, Self::Databases, Self::GitHub, Self::Logs, Self::Access];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Platform => "Platform",
            Self::Apps => "Apps",
            Self::Deployments => "Deployments",
            Self::Settings => "Settings",
            Self::Databases => "Databases",
            Self::GitHub => "GitHub",
            Self::Logs => "Logs and figures",
            Self::Access => "Access",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Platform => "Who answers, and what its own checks find.",
            Self::Apps => {
                "What is there and what runs of it; pause, sleep, deletion, and a part of the visitors for another revision."
            }
            Self::Deployments => {
                "From a source tree to a revision that serves: upload it, deploy the upload, follow the events. A revision is image \
                 and variables together and never changes."
            }
            Self::Settings => "One document of settings for each app, its variables, and its scale.",
            Self::Databases => "The database beside an app, its backups, and how it goes back to one of them or to a moment.",
            Self::GitHub => {
                "The platform's GitHub App, the repositories and branches that it sees, and the branch that an app comes from."
            }
            Self::Logs => "What apps write, who asked them for what, and figures for Prometheus.",
            Self::Access => "Who may do what: access tokens, users, members of apps, and the record of who did what.",
        }
    }
}

/// The description of one endpoint.
#[expect(clippy::struct_excessive_bools, reason = "each is a promise of its own")]
pub(crate) struct Operation {
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: &'static str,
    pub(super) tag: Tag,
    pub(super) open: bool,
    pub(super) once: bool,
    pub(super) listed: bool,
    pub(super) tagged: bool,
    pub(super) if_match: bool,
    pub(super) query: Option<Make>,
    pub(super) body: Option<Body>,
    pub(super) answers: Vec<Answer>,
    pub(super) fails: Vec<ErrorCode>,
}

/// A request's body.
pub(super) struct Body {
    /// Its content types; those without a schema are bytes.
    pub(super) kinds: Vec<(&'static str, Option<Make>)>,
    pub(super) example: Option<(Value, Check)>,
}

/// One way to answer well.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) about: &'static str,
    pub(super) kinds: Vec<(&'static str, Option<Make>)>,
    pub(super) example: Option<(Value, Check)>,
}

fn make<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

fn check<T: DeserializeOwned>(example: &Value) -> Result<(), String> {
    serde_json::from_value::<T>(example.clone()).map(drop).map_err(|error| error.to_string())
}

impl Operation {
    /// An endpoint: its id, unique and for programs (`listApps`), and what it does in a few words.
    pub(crate) fn new(tag: Tag, id: &'static str, summary: &'static str) -> Self {
        Self {
            id,
            summary,
            about: "",
            tag,
            open: false,
            once: false,
            listed: false,
            tagged: false,
            if_match: false,
            query: None,
            body: None,
            answers: Vec::new(),
            fails: Vec::new(),
        }
    }

    /// What is to be known beyond its summary.
    pub(crate) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Anybody may, without saying who they are.
    pub(crate) fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// It makes something, and takes an `Idempotency-Key`.
    pub(crate) fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Its answer is a list that comes in pages.
    pub(crate) fn listed(mut self) -> Self {
        self.listed = true;
        self
    }

    /// Its answer has an `ETag`.
    pub(crate) fn tagged(mut self) -> Self {
        self.tagged = true;
        self
    }

    /// It takes `If-Match`.
    pub(crate) fn if_match(mut self) -> Self {
        self.if_match = true;
        self.fails(&[ErrorCode::PreconditionFailed])
    }

    /// Its query: one parameter for each field.
    pub(crate) fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(|generator| T::json_schema(generator));
        self
    }

    /// Its body, with an example that is one.
    pub(crate) fn body<T: JsonSchema + DeserializeOwned>(mut self, example: Value) -> Self {
        self.body = Some(Body { kinds: vec![(api::JSON, Some(make::<T>))], example: Some((example, check::<T>)) });
        self
    }

    /// The body may as well be of that other type, with the same schema.
    pub(crate) fn or_as(mut self, kind: &'static str) -> Self {
        if let Some(body) = &mut self.body {
            let make = body.kinds.first().and_then(|(_, make)| *make);
            body.kinds.push((kind, make));
        }
        self
    }

    /// Its body is bytes of one of those types.
    pub(crate) fn bytes(mut self, kinds: &[&'static str]) -> Self {
        self.body = Some(Body { kinds: kinds.iter().map(|kind| (*kind, None)).collect(), example: None });
        self
    }

    /// It answers with a document.
    pub(crate) fn answers<T: JsonSchema>(mut self, status: StatusCode, about: &'static str) -> Self {
        self.answers.push(Answer { status, about, kinds: vec![(api::JSON, Some(make::<T>))], example: None });
        self
    }

    /// What the last answer may look like.
    pub(crate) fn example<T: DeserializeOwned>(mut self, example: Value) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.example = Some((example, check::<T>));
        }
        self
    }

    /// It answers with one document after the other, one a line (`application/x-ndjson`), as they come about.
    pub(crate) fn streams<T: JsonSchema>(mut self, about: &'static str) -> Self {
        self.answers.push(Answer { status: StatusCode::OK, about, kinds: vec![(api::NDJSON, Some(make::<T>))], example: None });
        self
    }

    /// It answers with a text or with bytes of that type.
    pub(crate) fn gives(mut self, kind: &'static str, about: &'static str) -> Self {
        match self.answers.iter_mut().find(|answer| answer.status == StatusCode::OK) {
            Some(answer) => answer.kinds.push((kind, None)),
            None => self.answers.push(Answer { status: StatusCode::OK, about, kinds: vec![(kind, None)], example: None }),
        }
        self
    }

    /// It answers with nothing (204).
    pub(crate) fn nothing(mut self, about: &'static str) -> Self {
        self.answers.push(Answer { status: StatusCode::NO_CONTENT, about, kinds: Vec::new(), example: None });
        self
    }

    /// How it may fail, beside what any endpoint may fail of.
    pub(crate) fn fails(mut self, codes: &[ErrorCode]) -> Self {
        self.fails.extend_from_slice(codes);
        self
    }
}
