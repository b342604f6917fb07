//! The stand-in's pages, which a browser clicks: signing in, making an App of a manifest, installing it, choosing repositories.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;

use super::hooks;
use super::server::{Asked, Shared, Told, locked};
use super::state::{App, Installation, Pending, State, random};

/// The cookie of whoever is signed in.
const COOKIE: &str = "user_session";

const STYLE: &str = "body{font:16px/1.5 sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}\
label{display:block;margin:.5rem 0}button{font:inherit;padding:.4rem 1rem}fieldset{margin:1rem 0}";

/// A page in the making. Everything that is put in is escaped.
pub(super) struct Page {
    title: String,
    body: String,
}

/// A text as a part of HTML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Page {
    pub(super) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), body: String::new() }
    }

    pub(super) fn text(mut self, text: &str) -> Self {
        write!(self.body, "<p>{}</p>", escaped(text)).expect("a string takes all");
        self
    }

    pub(super) fn link(mut self, to: &str, text: &str) -> Self {
        write!(self.body, "<p><a href=\"{}\">{}</a></p>", escaped(to), escaped(text)).expect("a string takes all");
        self
    }

    /// A form with hidden fields and a button; `inner` is HTML already.
    pub(super) fn form(mut self, action: &str, hidden: &[(String, String)], button: &str, inner: &str) -> Self {
        write!(self.body, "<form method=\"post\" action=\"{}\">", escaped(action)).expect("a string takes all");
        for (name, value) in hidden {
            write!(self.body, "<input type=\"hidden\" name=\"{}\" value=\"{}\">", escaped(name), escaped(value))
                .expect("a string takes all");
        }
        write!(self.body, "{inner}<button type=\"submit\">{}</button></form>", escaped(button)).expect("a string takes all");
        self
    }

    pub(super) fn told(self, status: u16) -> Told {
        let title = escaped(&self.title);
        Told::html(
            status,
            format!(
                "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
                 <link rel=\"icon\" href=\"data:,\"><title>{title} · GitHub (stand-in)</title><style>{STYLE}</style></head>\
                 <body><main><h1>{title}</h1>{}</main></body></html>",
                self.body
            ),
        )
    }
}

/// Who is signed in.
pub(super) fn signed_in(state: &State, asked: &Asked) -> Option<u64> {
    let cookies = asked.header("cookie")?;
    let session = cookies.split(';').find_map(|one| one.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    state.sessions.get(session).copied()
}

/// To the page that signs in, and back to this one.
pub(super) fn to_sign_in(asked: &Asked) -> Told {
    let query = if asked.raw_query.is_empty() { String::new() } else { format!("?{}", asked.raw_query) };
    let back = format!("{}{query}", asked.raw_path);
    Told::to(&format!("/login?{}", Serializer::new(String::new()).append_pair("return_to", &back).finish()))
}

fn missing() -> Told {
    Page::new("Page not found").text("This is not the web page you are looking for.").told(404)
}

fn field(fields: &[(String, String)], name: &str) -> String {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

pub(super) fn answer(shared: &Shared, asked: &Asked) -> Told {
    let path: Vec<_> = asked.path.iter().map(String::as_str).collect();
    let mut state = locked(shared);
    // Who may be asked for without being signed in.
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["login"]) => return sign_in_page(&state, asked.query("return_to").unwrap_or("/")),
        ("POST", ["session"]) => return sign_in(&mut state, asked),
        ("GET", ["avatars", _]) => {
            let picture =
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\"><circle cx=\"4\" cy=\"4\" r=\"4\"/></svg>";
            let headers = vec![("content-type".to_owned(), "image/svg+xml".to_owned())];
            return Told { status: 200, headers, body: picture.as_bytes().to_vec() };
        }
        // A form of another site brings no cookie along that is SameSite=Lax; so the manifest waits, and the page is asked for anew.
        ("POST", ["settings", "apps", "new"]) => return keep_manifest(&mut state, asked, None),
        ("POST", ["organizations", name, "settings", "apps", "new"]) => return keep_manifest(&mut state, asked, Some(name)),
        _ => {}
    }
    let Some(user) = signed_in(&state, asked) else { return to_sign_in(asked) };
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", []) => {
            let login = state.accounts[&user].login.clone();
            Page::new("Home").text(&format!("Signed in as {login}.")).told(200)
        }
        ("GET", ["settings", "apps", "new"]) => manifest_page(&state, user, asked),
        ("POST", ["settings", "apps"]) => create_app(&mut state, user, asked),
        ("GET", ["apps", slug]) => match state.apps.values().find(|app| app.slug == *slug) {
            None => missing(),
            Some(app) => Page::new(&app.name).link(&format!("/apps/{slug}/installations/new"), "Install").told(200),
        },
        ("GET", ["apps", slug, "installations", "new"]) => accounts_page(&state, user, slug, asked),
        ("GET", ["apps", slug, "installations", "new", "permissions"]) => install_page(&state, user, slug, asked),
        ("POST", ["apps", slug, "installations"]) => {
            let (told, deliveries) = install(&mut state, user, slug, asked);
            drop(state);
            hooks::send_later(shared, deliveries);
            told
        }
        ("GET", ["settings", "installations", id] | ["organizations", _, "settings", "installations", id]) => {
            settings_page(&state, user, id)
        }
        ("POST", ["settings", "installations", id]) => {
            let (told, deliveries) = save(&mut state, user, id, asked);
            drop(state);
            hooks::send_later(shared, deliveries);
            told
        }
        ("GET", [owner, name]) => match state.repository(&format!("{owner}/{name}")).filter(|it| state.may_see(user, it)) {
            None => missing(),
            Some(found) => {
                let full_name = state.full_name(found);
                let words = state.statuses.iter().filter(|it| it.repository == full_name);
                let page = Page::new(&full_name);
                words.fold(page, |page, it| page.text(&format!("{}: {}: {}", it.sha, it.context, it.state))).told(200)
            }
        },
        _ => missing(),
    }
}

fn sign_in_page(state: &State, back: &str) -> Told {
    let mut users = String::from("<label>Username <select name=\"login\">");
    for account in state.accounts.values().filter(|account| !account.is_organization) {
        let login = escaped(&account.login);
        write!(users, "<option value=\"{login}\">{login}</option>").expect("a string takes all");
    }
    users.push_str("</select></label>");
    let hidden = [("return_to".to_owned(), back.to_owned())];
    Page::new("Sign in to GitHub").form("/session", &hidden, "Sign in", &users).told(200)
}

fn sign_in(state: &mut State, asked: &Asked) -> Told {
    let fields = asked.form();
    let Some(user) = state.account(&field(&fields, "login")).filter(|it| !it.is_organization).map(|it| it.id) else {
        return Page::new("Sign in to GitHub").text("Incorrect username or password.").told(401);
    };
    let session = random(16);
    state.sessions.insert(session.clone(), user);
    let back = field(&fields, "return_to");
    let back = if back.starts_with('/') && !back.starts_with("//") { back } else { "/".to_owned() };
    Told::to(&back).with("set-cookie", format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"))
}

fn keep_manifest(state: &mut State, asked: &Asked, organization: Option<&str>) -> Told {
    let Ok(manifest) = serde_json::from_str::<Value>(&field(&asked.form(), "manifest")) else {
        return Page::new("Create GitHub App").text("The manifest is no JSON.").told(422);
    };
    let pending = Pending {
        manifest,
        state: asked.query("state").unwrap_or_default().to_owned(),
        organization: organization.map(str::to_owned),
    };
    let id = random(8);
    state.pending.insert(id.clone(), pending);
    Told { status: 303, ..Told::to(&format!("/settings/apps/new?manifest_id={id}")) }
}

fn manifest_page(state: &State, user: u64, asked: &Asked) -> Told {
    let id = asked.query("manifest_id").unwrap_or_default();
    let Some(pending) = state.pending.get(id) else { return missing() };
    let owner = match owner_of(state, user, pending) {
        Ok(owner) => owner,
        Err(told) => return told,
    };
    let wrong = wrong_with(&pending.manifest);
    let page = Page::new(&format!("Create GitHub App for {}", state.accounts[&owner].login));
    if !wrong.is_empty() {
        return wrong.iter().fold(page, |page, words| page.text(words)).told(422);
    }
    let name = escaped(pending.manifest["name"].as_str().unwrap_or_default());
    let inner = format!("<label>GitHub App name <input name=\"name\" value=\"{name}\" maxlength=\"34\" required></label>");
    page.form("/settings/apps", &[("manifest_id".to_owned(), id.to_owned())], "Create GitHub App", &inner).told(200)
}

fn owner_of(state: &State, user: u64, pending: &Pending) -> Result<u64, Told> {
    let Some(name) = &pending.organization else { return Ok(user) };
    let found = state.account(name).filter(|account| account.members.contains(&user));
    found.map(|account| account.id).ok_or_else(missing)
}

/// What GitHub would say against a manifest.
fn wrong_with(manifest: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut address = |key: &str, value: &Value| {
        if !value.as_str().is_some_and(|text| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))) {
            wrong.push(format!("Invalid GitHub App configuration: {key} must be a URL."));
        }
    };
    address("url", &manifest["url"]);
    address("hook_attributes.url", &manifest["hook_attributes"]["url"]);
    address("redirect_url", &manifest["redirect_url"]);
    for callback in manifest["callback_urls"].as_array().into_iter().flatten() {
        address("callback_urls", callback);
    }
    if manifest["callback_urls"].as_array().is_some_and(|urls| urls.len() > 10) {
        wrong.push("Invalid GitHub App configuration: there are too many callback_urls.".to_owned());
    }
    let permissions = &manifest["default_permissions"];
    for event in manifest["default_events"].as_array().into_iter().flatten() {
        let right = match event.as_str() {
            Some("push") => "contents",
            Some("repository") => "metadata",
            _ => "",
        };
        if permissions[right].is_null() {
            wrong.push(format!("Invalid GitHub App configuration: Default events unsupported: {event}."));
        }
    }
    for (name, right) in permissions.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "contents" | "metadata" | "statuses" | "deployments" | "emails")
            || !matches!(right.as_str(), Some("read" | "write"))
        {
            wrong.push(format!(
                "Invalid GitHub App configuration: Default permission records resource is not included in the list: {name}."
            ));
        }
    }
    wrong
}

fn create_app(state: &mut State, user: u64, asked: &Asked) -> Told {
    let fields = asked.form();
    let Some(pending) = state.pending.remove(&field(&fields, "manifest_id")) else { return missing() };
    let owner = match owner_of(state, user, &pending) {
        Ok(owner) => owner,
        Err(told) => return told,
    };
    let mut manifest = pending.manifest;
    manifest["name"] = Value::String(field(&fields, "name"));
    let wrong = wrong_with(&manifest);
    if !wrong.is_empty() {
        return wrong.iter().fold(Page::new("Create GitHub App"), |page, words| page.text(words)).told(422);
    }
    let app = match state.make_app(owner, &manifest) {
        Ok(app) => app,
        Err(words) => return Page::new("Create GitHub App").text(&words).told(422),
    };
    let code = random(20);
    state.conversions.insert(code.clone(), app);
    let mut url = Url::parse(manifest["redirect_url"].as_str().unwrap_or_default()).expect("an address that was checked");
    url.query_pairs_mut().append_pair("code", &code).append_pair("state", &pending.state);
    Told::to(url.as_str())
}

/// An App that may be installed by this user.
fn installable<'a>(state: &'a State, slug: &str, user: u64) -> Option<&'a App> {
    let app = state.apps.values().find(|app| app.slug == slug)?;
    (app.is_public || state.accounts_of(user).iter().any(|account| account.id == app.owner)).then_some(app)
}

/// The accounts that a user may install an App on: of one that is private, its owner alone.
fn accounts(state: &State, app: &App, user: u64) -> Vec<u64> {
    let all = state.accounts_of(user).into_iter().map(|account| account.id);
    all.filter(|id| app.is_public || *id == app.owner).collect()
}

fn accounts_page(state: &State, user: u64, slug: &str, asked: &Asked) -> Told {
    let Some(app) = installable(state, slug, user) else { return missing() };
    let page = Page::new(&format!("Install {}", app.name)).text("Where do you want to install it?");
    let page = accounts(state, app, user).into_iter().fold(page, |page, id| {
        let installed = state.installations.values().find(|it| it.app == app.id && it.account == id);
        let login = &state.accounts[&id].login;
        if let Some(installed) = installed {
            return page.link(&state.settings_page(installed), &format!("{login}: Configure"));
        }
        let mut query = Serializer::new(String::new());
        query.append_pair("target_id", &id.to_string());
        if let Some(state) = asked.query("state") {
            query.append_pair("state", state);
        }
        page.link(&format!("/apps/{slug}/installations/new/permissions?{}", query.finish()), login)
    });
    page.told(200)
}

/// The choice of an account's repositories, as HTML.
fn choice(state: &State, user: u64, account: u64, chosen: Option<&BTreeSet<u64>>) -> String {
    let checked = |on: bool| if on { " checked" } else { "" };
    let (all, some) = (checked(chosen.is_none()), checked(chosen.is_some()));
    let mut inner = format!(
        "<fieldset><legend>Repository access</legend>\
         <label><input type=\"radio\" name=\"install_target\" value=\"all\"{all}> All repositories</label>\
         <label><input type=\"radio\" name=\"install_target\" value=\"selected\"{some}> Only select repositories</label></fieldset>\
         <fieldset><legend>Repositories</legend>"
    );
    for repository in state.repositories.values().filter(|it| it.owner == account && state.may_see(user, it)) {
        let on = checked(chosen.is_some_and(|chosen| chosen.contains(&repository.id)));
        let (id, name) = (repository.id, escaped(&state.full_name(repository)));
        write!(inner, "<label><input type=\"checkbox\" name=\"repository_ids[]\" value=\"{id}\"{on}> {name}</label>")
            .expect("a string takes all");
    }
    inner.push_str("</fieldset>");
    inner
}

fn chosen(state: &State, account: u64, fields: &[(String, String)]) -> Option<BTreeSet<u64>> {
    if field(fields, "install_target") != "selected" {
        return None;
    }
    let ids = fields.iter().filter(|(key, _)| key == "repository_ids[]").filter_map(|(_, value)| value.parse().ok());
    Some(ids.filter(|id| state.repositories.get(id).is_some_and(|it| it.owner == account)).collect())
}

fn install_page(state: &State, user: u64, slug: &str, asked: &Asked) -> Told {
    let Some(app) = installable(state, slug, user) else { return missing() };
    let target = asked.query("target_id").and_then(|id| id.parse().ok()).unwrap_or_default();
    if !accounts(state, app, user).contains(&target) {
        return missing();
    }
    let mut hidden = vec![("target_id".to_owned(), target.to_string())];
    if let Some(state) = asked.query("state") {
        hidden.push(("state".to_owned(), state.to_owned()));
    }
    let button = if app.asks_on_install { "Install & Authorize" } else { "Install" };
    let title = format!("Install & Authorize {}", app.name);
    let page = Page::new(&title).text(&format!("Install on {}.", state.accounts[&target].login));
    page.form(&format!("/apps/{slug}/installations"), &hidden, button, &choice(state, user, target, None)).told(200)
}

/// Back to the App: where it asks for authorization, with a code.
fn back(state: &mut State, user: u64, installation: &Installation, action: &str, passed: Option<&str>) -> Told {
    let app = state.apps[&installation.app].clone();
    let Some(callback) = app.callbacks.first().filter(|_| app.asks_on_install).cloned() else {
        return Told::to(&state.settings_page(installation));
    };
    // No challenge came along: this page knows none.
    let code = state.code(user, app.id, &callback, None);
    let mut url = Url::parse(&callback).expect("an address that the App has");
    url.query_pairs_mut()
        .append_pair("code", &code)
        .append_pair("installation_id", &installation.id.to_string())
        .append_pair("setup_action", action);
    if let Some(state) = passed {
        url.query_pairs_mut().append_pair("state", state);
    }
    Told::to(url.as_str())
}

fn install(state: &mut State, user: u64, slug: &str, asked: &Asked) -> (Told, Vec<hooks::Outgoing>) {
    let fields = asked.form();
    let target = field(&fields, "target_id").parse().unwrap_or_default();
    let Some(app) = installable(state, slug, user).map(|app| app.id) else { return (missing(), Vec::new()) };
    let is_there = state.installations.values().any(|it| it.app == app && it.account == target);
    if is_there || !accounts(state, &state.apps[&app], user).contains(&target) {
        return (missing(), Vec::new());
    }
    let chosen = chosen(state, target, &fields);
    let installation =
        Installation { id: state.id(), app, account: target, chosen, suspended_at: None, created_at: Timestamp::now() };
    state.installations.insert(installation.id, installation.clone());
    let deliveries = state.told_of_installation(&installation, "created", user);
    let passed = fields.iter().find(|(key, _)| key == "state").map(|(_, value)| value.as_str());
    (back(state, user, &installation, "install", passed), deliveries)
}

fn settings_page(state: &State, user: u64, id: &str) -> Told {
    let found = id.parse().ok().and_then(|id: u64| state.installations.get(&id));
    let Some(found) = found.filter(|it| state.accounts_of(user).iter().any(|account| account.id == it.account)) else {
        return missing();
    };
    let action = format!("/settings/installations/{id}");
    let hidden = |word: &str| [("action".to_owned(), word.to_owned())];
    let app = &state.apps[&found.app];
    let suspend = if found.suspended_at.is_some() { ("unsuspend", "Unsuspend") } else { ("suspend", "Suspend") };
    Page::new(&app.name)
        .text(&format!("Installed on {}.", state.accounts[&found.account].login))
        .form(&action, &hidden("save"), "Save", &choice(state, user, found.account, found.chosen.as_ref()))
        .form(&action, &hidden(suspend.0), suspend.1, "")
        .form(&action, &hidden("uninstall"), "Uninstall", "")
        .told(200)
}

fn save(state: &mut State, user: u64, id: &str, asked: &Asked) -> (Told, Vec<hooks::Outgoing>) {
    let fields = asked.form();
    let found = id.parse().ok().and_then(|id: u64| state.installations.get(&id)).cloned();
    let Some(mut found) = found.filter(|it| state.accounts_of(user).iter().any(|account| account.id == it.account)) else {
        return (missing(), Vec::new());
    };
    let here = Told::to(&state.settings_page(&found));
    match field(&fields, "action").as_str() {
        "uninstall" => {
            let deliveries = state.told_of_installation(&found, "deleted", user);
            state.installations.remove(&found.id);
            (Told::to("/"), deliveries)
        }
        word @ ("suspend" | "unsuspend") => {
            found.suspended_at = (word == "suspend").then(Timestamp::now);
            state.installations.insert(found.id, found.clone());
            let deliveries = state.told_of_installation(&found, word, user);
            (here, deliveries)
        }
        _ => {
            let wanted = chosen(state, found.account, &fields);
            let deliveries = state.choose(&mut found, wanted, user);
            (back(state, user, &found, "update", None), deliveries)
        }
    }
}
