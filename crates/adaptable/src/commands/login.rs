//! `login` and `logout`: a platform elsewhere, its token, and the certificate that it shows.

use api::client::{Authority, Trust};
use api::{Client, ClientError, ErrorCode};
use serde::Serialize;

use super::{Context, variable};
use crate::explain::Failure;
use crate::login::{Login, file, forget, save};
use crate::printer::Printer;
use crate::reach::read_authority;

/// What `login --json` prints.
#[derive(Serialize)]
struct LoggedIn<'a> {
    url: &'a str,
    version: &'a str,
    fingerprint: Option<String>,
}

/// Runs `login`.
pub(super) async fn run(context: &Context, address: &str, fingerprint: Option<&str>) -> Result<(), Failure> {
    let printer = context.printer;
    let file = file(&variable).ok_or_else(|| Failure::local("there is no home directory to remember a login in", "set HOME"))?;
    let (trust, ca) = trust(context, address, fingerprint).await?;
    let token = match context.reach.token.clone().or_else(|| variable("ADAPTABLE_TOKEN")).filter(|token| !token.is_empty()) {
        Some(token) => token,
        None => ask_token(printer)?,
    };
    let client = Client::remote(address, Some(&token), &trust)?;
    let platform = client.platform().await?;
    // That anybody is answered says nothing of the token; the list of apps does.
    client.apps().await?;
    let login = Login { url: client.place(), token, ca: ca.as_ref().map(|(pem, _)| pem.clone()) };
    save(&file, &login)?;
    if printer.json() {
        let fingerprint = ca.map(|(_, authority)| authority.fingerprint());
        return printer.document(&LoggedIn { url: &login.url, version: &platform.version, fingerprint });
    }
    printer.note(&format!("logged in to {} (version {}); adaptable logout forgets it", login.url, platform.version));
    Ok(())
}

/// An authority, and the text it was read from.
type Pem = (String, Authority);

/// Finds out whom to trust: the system's roots where they do, else the platform's own authority, once somebody vouched for it.
async fn trust(context: &Context, address: &str, fingerprint: Option<&str>) -> Result<(Trust, Option<Pem>), Failure> {
    let named = context.reach.ca.clone().or_else(|| variable("ADAPTABLE_CA").filter(|file| !file.is_empty()).map(Into::into));
    if let Some(file) = named {
        let authority = read_authority(&file)?;
        let pem = std::fs::read_to_string(&file).map_err(|error| Failure::file("read", &file, error))?;
        return Ok((Trust::SystemAnd(authority.clone()), Some((pem, authority))));
    }
    match Client::remote(address, None, &Trust::System)?.platform().await {
        Err(ClientError::Tls { .. }) => {}
        Err(error) if error.body().code == ErrorCode::NoPlatform => return Err(error.into()),
        _ => return Ok((Trust::System, None)),
    }
    // Fetched from whoever answers, hence worth nothing until its fingerprint is vouched for. No token has been sent.
    let pem = Client::remote(address, None, &Trust::Anybody)?.authority().await?;
    let authority = Authority::parse(&pem).map_err(|error| {
        Failure::local(format!("the platform's certificate can't be used: {error}"), "name its file: --ca FILE")
    })?;
    vouch(context.printer, &authority, fingerprint)?;
    let pem = String::from_utf8_lossy(&pem).into_owned();
    Ok((Trust::SystemAnd(authority.clone()), Some((pem, authority))))
}

/// Has the fingerprint compared, by the flag or by the user.
fn vouch(printer: Printer, authority: &Authority, expected: Option<&str>) -> Result<(), Failure> {
    let found = authority.fingerprint();
    if let Some(expected) = expected {
        let plain = |text: &str| text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_uppercase();
        if plain(expected) == plain(&found) {
            return Ok(());
        }
        return Err(Failure::local(
            format!("the platform's certificate has another fingerprint: {found}"),
            "compare it on the platform's machine: openssl x509 -in DATA/ca.pem -noout -fingerprint -sha256",
        ));
    }
    printer.note("the platform's certificate comes from its own authority, with the SHA-256 fingerprint");
    printer.note(&format!("  {found}"));
    printer.note("compare it on the platform's machine: openssl x509 -in DATA/ca.pem -noout -fingerprint -sha256");
    match printer.ask("Is it the same? [yes/no]").as_deref() {
        Some("yes" | "y") => Ok(()),
        Some(_) => Err(Failure::local("not logged in: the certificate was not confirmed", "")),
        None => Err(Failure::usage(
            "nobody can be asked whether the platform's certificate is the right one",
            format!("if it is: adaptable login ADDRESS --fingerprint {found}"),
        )),
    }
}

fn ask_token(printer: Printer) -> Result<String, Failure> {
    let help = "make one on the page of your account (or on the platform's machine: adaptable token create NAME); then give it by ADAPTABLE_TOKEN or --token";
    if !printer.can_ask() {
        return Err(Failure::usage("a token is needed, and nobody can be asked for it", help));
    }
    let token =
        rpassword::prompt_password("Token: ").map_err(|error| Failure::local(format!("can't read the token: {error}"), ""))?;
    let token = token.trim().to_owned();
    if token.is_empty() { Err(Failure::usage("no token was given", help)) } else { Ok(token) }
}

/// Runs `logout`.
pub(super) fn logout(context: &Context) -> Result<(), Failure> {
    let forgotten = match file(&variable) {
        Some(file) => forget(&file)?,
        None => false,
    };
    context.printer.note(if forgotten { "logged out" } else { "there was no login to forget" });
    Ok(())
}
