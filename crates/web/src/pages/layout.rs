//! The frame of every page: who looks, where they are, and what is said once.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use control::{Control, Who};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use crate::access::Asker;
use crate::answer::Problem;
use crate::pages::flash::Said;

/// The platform's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Light, dark, or as the visitor's machine has it; kept in the cookie `theme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the machine has it.
    #[default]
    Auto,
    /// Light.
    Light,
    /// Dark.
    Dark,
}

impl Theme {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// The word on its button.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// The word in the cookie.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme of that word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.word() == word)
    }

    fn of(parts: &Parts) -> Self {
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == "theme").and_then(|(_, word)| Self::parse(word)).unwrap_or_default()
    }
}

/// Which part of the platform a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Nav {
    /// None of those in the navigation.
    #[default]
    None,
    /// The Dashboard and the apps.
    Dashboard,
    /// The operator's pages.
    Operator,
}

/// Who is signed in, as far as the frame shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    /// The name.
    pub(crate) name: String,
    /// Whether the operator's pages are open to them.
    pub(crate) operator: bool,
}

/// The tabs of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    /// App Status.
    Status,
    /// Resources.
    Resources,
    /// Metrics.
    Metrics,
    /// Settings.
    Settings,
}

impl Tab {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 4] = [Self::Status, Self::Resources, Self::Metrics, Self::Settings];

    /// The word on it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Status => "Status",
            Self::Resources => "Resources",
            Self::Metrics => "Metrics",
            Self::Settings => "Settings",
        }
    }

    /// Where it leads, behind `/apps/{app}`.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Status => "",
            Self::Resources => "/resources",
            Self::Metrics => "/metrics",
            Self::Settings => "/settings",
        }
    }
}

/// What `layout.html` needs; every page's template has it in a field `shell`.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    /// The page's title, without the platform's name.
    pub(crate) title: String,
    /// Where the page belongs.
    pub(crate) nav: Nav,
    /// Who looks, as far as rights go.
    pub(crate) who: Who,
    /// Who is signed in, as shown; nobody on the pages before that.
    pub(crate) person: Option<Person>,
    /// The session's token against forged requests; every form has it in a hidden field `csrf`.
    pub(crate) csrf: String,
    /// The page's own path, to come back to.
    pub(crate) path: String,
    /// Light or dark.
    pub(crate) theme: Theme,
    /// What is said once.
    pub(crate) said: Option<Said>,
    /// Seconds after which a browser without scripts loads the page again; for pages on which something is under way.
    pub(crate) reload: Option<u32>,
}

impl Shell {
    /// The frame of a page for somebody who is not known (errors, sign-in).
    pub(crate) fn bare(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            nav: Nav::None,
            who: Who::Nobody,
            person: None,
            csrf: String::new(),
            path: "/".to_owned(),
            theme: Theme::Auto,
            said: None,
            reload: None,
        }
    }

    /// The same with a title.
    #[must_use]
    pub(crate) fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The same in a part of the platform.
    #[must_use]
    pub(crate) fn at(mut self, nav: Nav) -> Self {
        self.nav = nav;
        self
    }

    /// Whether the page belongs to the Dashboard.
    pub(crate) fn at_dashboard(&self) -> bool {
        self.nav == Nav::Dashboard
    }

    /// Whether the page is one of the operator's.
    pub(crate) fn at_operator(&self) -> bool {
        self.nav == Nav::Operator
    }

    /// The switch between themes: word, name, and which one is on.
    pub(crate) fn themes(&self) -> [(&'static str, &'static str, bool); 3] {
        Theme::ALL.map(|theme| (theme.word(), theme.name(), theme == self.theme))
    }
}

impl FromRequestParts<Control> for Shell {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Problem> {
        let asker = Asker::of(parts);
        let mut shell = Self::bare("");
        shell.theme = Theme::of(parts);
        parts.uri.path().clone_into(&mut shell.path);
        shell.said = parts.uri.query().and_then(Said::in_query);
        shell.person = match &asker.who {
            Who::User(identity) => Some(Person { name: identity.name.to_string(), operator: identity.is_operator() }),
            Who::Operator => Some(Person { name: "Operator".to_owned(), operator: true }),
            Who::Token(_) | Who::Nobody => None,
        };
        shell.who = asker.who;
        shell.csrf = asker.csrf.unwrap_or_default();
        Ok(shell)
    }
}

/// A template as a page.
pub(crate) fn page(template: &impl Template) -> Response {
    page_with(StatusCode::OK, template)
}

/// A template as a page with another status.
pub(crate) fn page_with(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => {
            let mut response = (status, text).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "render a page");
            (StatusCode::INTERNAL_SERVER_ERROR, "the platform failed to answer\n").into_response()
        }
    }
}
