//! The stand-in's signing in: the page that asks a user, codes with PKCE, tokens and their renewal.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;

use super::pages::{Page, signed_in, to_sign_in};
use super::server::{Asked, Shared, Told, locked};
use super::state::{App, REFRESH_TOKEN, State, USER_TOKEN};

/// Answers where the path is one of OAuth's.
pub(super) fn answer(shared: &Shared, asked: &Asked) -> Option<Told> {
    let path: Vec<_> = asked.path.iter().map(String::as_str).collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("GET", ["login", "oauth", "authorize"]) => Some(ask(&mut locked(shared), asked, &asked.query)),
        ("POST", ["login", "oauth", "authorize"]) => Some(authorize(&mut locked(shared), asked)),
        ("POST", ["login", "oauth", "access_token"]) => Some(token(&mut locked(shared), asked)),
        _ => None,
    }
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The App that a request names, and where its answer goes: one of the App's own addresses, exactly.
fn wanted(state: &State, fields: &[(String, String)]) -> Result<(App, String), Told> {
    let client = field(fields, "client_id").unwrap_or_default();
    let app = state.apps.values().find(|app| app.client_id == client).cloned();
    let app = app.ok_or_else(|| Page::new("Page not found").text("There is no such App.").told(404))?;
    let redirect =
        field(fields, "redirect_uri").map_or_else(|| app.callbacks.first().cloned().unwrap_or_default(), str::to_owned);
    if !app.callbacks.contains(&redirect) {
        let words = "The redirect_uri is not associated with this application.";
        return Err(Page::new("Be careful!").text(words).told(400));
    }
    Ok((app, redirect))
}

fn ask(state: &mut State, asked: &Asked, fields: &[(String, String)]) -> Told {
    let (app, redirect) = match wanted(state, fields) {
        Ok(wanted) => wanted,
        Err(told) => return told,
    };
    let Some(user) = signed_in(state, asked) else { return to_sign_in(asked) };
    if field(fields, "code_challenge").is_some() && field(fields, "code_challenge_method") != Some("S256") {
        return Page::new("Be careful!").text("The code_challenge_method must be S256.").told(400);
    }
    // Whoever has said yes before is not asked again.
    if state.authorized.contains(&(user, app.id)) {
        return back(state, user, &app, &redirect, fields);
    }
    let login = &state.accounts[&user].login;
    let mut page = Page::new(&format!("Authorize {}", app.name)).text(&format!(
        "{} by {} would like permission to verify your GitHub identity ({login}), know which resources you can access, and act on your behalf.",
        app.name, state.accounts[&app.owner].login
    ));
    page = page.form("/login/oauth/authorize", fields, &format!("Authorize {}", app.name), "");
    page.told(200)
}

fn authorize(state: &mut State, asked: &Asked) -> Told {
    let fields = asked.form();
    match wanted(state, &fields) {
        Err(told) => told,
        Ok((app, redirect)) => match signed_in(state, asked) {
            None => to_sign_in(asked),
            Some(user) => back(state, user, &app, &redirect, &fields),
        },
    }
}

/// Back to the App, with a code.
fn back(state: &mut State, user: u64, app: &App, redirect: &str, fields: &[(String, String)]) -> Told {
    let code = state.code(user, app.id, redirect, field(fields, "code_challenge").map(str::to_owned));
    let mut url = Url::parse(redirect).expect("an address that the App has");
    url.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = field(fields, "state") {
        url.query_pairs_mut().append_pair("state", state);
    }
    Told::to(url.as_str())
}

/// An error has status 200 here (GitHub Docs, "Troubleshooting OAuth app access token request errors").
fn error(code: &str, words: &str) -> Told {
    let uri = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors";
    Told::json(200, &json!({ "error": code, "error_description": words, "error_uri": uri }))
}

fn token(state: &mut State, asked: &Asked) -> Told {
    let fields = asked.form();
    let given = |name: &str| field(&fields, name).unwrap_or_default().to_owned();
    let Some(app) = state.apps.values().find(|app| app.client_id == given("client_id")).cloned() else {
        return Told::json(404, &json!({ "error": "Not Found" }));
    };
    if app.client_secret != given("client_secret") {
        return error("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect.");
    }
    let now = Timestamp::now();
    let user = if given("grant_type") == "refresh_token" {
        // Each is good once; the token that came with it is worth nothing after that.
        let Some(known) =
            state.refresh_tokens.remove(&given("refresh_token")).filter(|it| it.app == app.id && it.expires_at > now)
        else {
            return error("bad_refresh_token", "The refresh token passed is incorrect or expired.");
        };
        state.user_tokens.retain(|_, token| token.refresh != known.refresh);
        known.user
    } else {
        let bad = || error("bad_verification_code", "The code passed is incorrect or expired.");
        let Some(code) = state.codes.remove(&given("code")).filter(|it| it.app == app.id && it.expires_at > now) else {
            return bad();
        };
        if field(&fields, "redirect_uri").is_some_and(|redirect| redirect != code.redirect) {
            return error(
                "redirect_uri_mismatch",
                "The redirect_uri MUST match the registered callback URL for this application.",
            );
        }
        // RFC 7636, section 4.6.
        let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(given("code_verifier")));
        if code.challenge.is_some_and(|challenge| challenge != proof) {
            return bad();
        }
        code.user
    };
    let (access, refresh) = state.user_token(user, app.id);
    Told::json(
        200,
        &json!({
            "access_token": access,
            "expires_in": USER_TOKEN,
            "refresh_token": refresh,
            "refresh_token_expires_in": REFRESH_TOKEN,
            "token_type": "bearer",
            "scope": "",
        }),
    )
}
