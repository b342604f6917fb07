//! What stands above every page of an app: its name, its state, its address and the tabs. `app.html` shows it; templates of an app's
//! pages extend that and have it in a field `app`.

use control::{Access, AppGlance, Control, Right, Who, may};
use model::AppName;

use crate::answer::Answer;
use crate::pages::layout::Tab;
use crate::pages::state::{self, State};

/// The head of an app's pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppHead {
    /// The app's name.
    pub(crate) name: String,
    /// How it is.
    pub(crate) state: State,
    /// Where visitors find it.
    pub(crate) url: String,
    /// The tab that is open; none on pages beside the tabs.
    pub(crate) tab: Option<Tab>,
    /// Whether the one who looks may change it.
    pub(crate) change: bool,
}

impl AppHead {
    /// The head for somebody.
    pub(crate) async fn load(control: &Control, who: &Who, app: &AppName, tab: Option<Tab>) -> Answer<Self> {
        Ok(Self::of(&control.app_glance(app).await?, who, tab))
    }

    /// The head of an app that was looked at already.
    pub(crate) fn of(glance: &AppGlance, who: &Who, tab: Option<Tab>) -> Self {
        let summary = &glance.summary;
        Self {
            name: summary.app.to_string(),
            state: state::app(summary.state, glance.instances),
            url: summary.url.clone(),
            tab,
            change: may(who, &Access::App(&summary.app, Right::Change)).is_ok(),
        }
    }

    /// The address without its scheme.
    pub(crate) fn host(&self) -> &str {
        self.url.strip_prefix("https://").unwrap_or(&self.url)
    }

    /// The tabs: word, address, and whether it is the open one.
    pub(crate) fn tabs(&self) -> [(&'static str, String, bool); 4] {
        Tab::ALL.map(|tab| (tab.name(), format!("/apps/{}{}", self.name, tab.path()), Some(tab) == self.tab))
    }
}
