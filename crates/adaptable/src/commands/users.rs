//! `users`, `members`, `audit`, `sign-in-link`: who may come in, and what they did.

use api::{NewInvite, NewSignInLink, UserPatch};
use serde::Serialize;

use super::Context;
use super::apps::optional;
use super::deployments::moment;
use crate::cli::{MembersAction, UsersAction};
use crate::explain::Failure;
use crate::printer::{Table, clean};

/// What commands print that end something, with `--json`.
#[derive(Serialize)]
struct Done {
    done: bool,
}

/// Runs `users`.
pub(super) async fn run(context: &Context, action: UsersAction) -> Result<(), Failure> {
    let printer = context.printer;
    let client = context.client()?;
    let note = match action {
        UsersAction::List => return list(context).await,
        UsersAction::Invites => return invites(context).await,
        UsersAction::Invite { role, app, app_role, note } => {
            let created = client.create_invite(&NewInvite { role, app, app_role, note: note.unwrap_or_default() }).await?;
            if printer.json() {
                return printer.document(&created);
            }
            let id = &created.invite.id;
            printer.note(&format!("invitation {id}, good for seven days and once: send this link, it is not shown again"));
            return printer.line(&created.url);
        }
        UsersAction::Uninvite { id } => {
            client.delete_invite(&id).await?;
            format!("invitation {id} is taken back")
        }
        UsersAction::Role { name, role } => {
            client.change_user(&name, &UserPatch { role: Some(role), disabled: None }).await?;
            format!("{name} is {role} now")
        }
        UsersAction::Disable { name } => {
            client.change_user(&name, &UserPatch { role: None, disabled: Some(true) }).await?;
            format!("{name} is locked out, and signed out everywhere")
        }
        UsersAction::Enable { name } => {
            client.change_user(&name, &UserPatch { role: None, disabled: Some(false) }).await?;
            format!("{name} may come in")
        }
        UsersAction::SignOut { name } => {
            client.end_sessions(&name).await?;
            format!("{name} is signed out everywhere")
        }
        UsersAction::Delete { name } => {
            client.delete_user(&name).await?;
            format!("{name} is deleted")
        }
    };
    if printer.json() {
        return printer.document(&Done { done: true });
    }
    printer.note(&note);
    Ok(())
}

async fn list(context: &Context) -> Result<(), Failure> {
    let printer = context.printer;
    let users = context.client()?.users().await?;
    if printer.json() {
        return printer.document(&users);
    }
    let mut table = Table::new(["NAME", "ROLE", "SIGNS IN BY", "STATE", "LAST SIGN-IN"]);
    for user in users {
        let github = user.github.map(|login| format!("GitHub ({})", clean(&login)));
        let factors = if user.second_factor { "password and code" } else { "password" };
        let ways: Vec<String> = user.has_password.then(|| factors.to_owned()).into_iter().chain(github).collect();
        table.row([
            user.name.to_string(),
            user.role.to_string(),
            ways.join(", "),
            if user.disabled { "locked out" } else { "in" }.to_owned(),
            optional(user.signed_in_at.map(moment)),
        ]);
    }
    printer.table(&table, "nobody yet; 'adaptable sign-in-link' prints the link for the first operator")
}

async fn invites(context: &Context) -> Result<(), Failure> {
    let printer = context.printer;
    let invites = context.client()?.invites().await?;
    if printer.json() {
        return printer.document(&invites);
    }
    let mut table = Table::new(["ID", "ROLE", "APP", "FOR", "MADE BY", "UNTIL"]);
    for invite in invites {
        let app = invite.app.zip(invite.app_role).map(|(app, role)| format!("{app} as {role}"));
        let (role, until) = (invite.role.to_string(), moment(invite.expires_at));
        table.row([invite.id, role, optional(app), clean(&invite.note), clean(&invite.made_by), until]);
    }
    printer.table(&table, "no invitations; make one: adaptable users invite")
}

/// Runs `members`.
pub(super) async fn members(context: &Context, app: &model::AppName, action: MembersAction) -> Result<(), Failure> {
    let printer = context.printer;
    let client = context.client()?;
    match action {
        MembersAction::List => {
            let members = client.members(app).await?;
            if printer.json() {
                return printer.document(&members);
            }
            let mut table = Table::new(["NAME", "ROLE"]);
            for member in members {
                table.row([member.user.to_string(), member.role.to_string()]);
            }
            printer.table(&table, &format!("no members: {app} is the operators' alone"))
        }
        MembersAction::Set { name, role } => {
            let member = client.set_member(app, &name, role).await?;
            if printer.json() {
                return printer.document(&member);
            }
            printer.note(&format!("{name} is {role} of {app} now"));
            Ok(())
        }
        MembersAction::Remove { name } => {
            client.remove_member(app, &name).await?;
            if printer.json() {
                return printer.document(&Done { done: true });
            }
            printer.note(&format!("{name} is no member of {app} any more"));
            Ok(())
        }
    }
}

/// Runs `audit`.
pub(super) async fn audit(context: &Context, app: Option<&model::AppName>, lines: u32) -> Result<(), Failure> {
    let printer = context.printer;
    let entries = context.client()?.audit(app, lines).await?;
    if printer.json() {
        return printer.document(&entries);
    }
    let mut table = Table::new(["WHEN", "WHO", "WHAT", "APP", "DETAIL", "FROM"]);
    // The newest last, where the eye is.
    for entry in entries.into_iter().rev() {
        table.row([
            moment(entry.at),
            clean(&entry.who),
            entry.what,
            optional(entry.app.map(|app| clean(&app))),
            clean(&entry.detail),
            entry.address,
        ]);
    }
    printer.table(&table, "nothing was changed yet")
}

/// Runs `sign-in-link`.
pub(super) async fn sign_in_link(context: &Context, user: Option<model::UserName>) -> Result<(), Failure> {
    let printer = context.printer;
    let link = context.client()?.create_sign_in_link(&NewSignInLink { user }).await?;
    if printer.json() {
        return printer.document(&link);
    }
    let whom = link.user.as_ref().map_or_else(|| "makes the first operator".to_owned(), |name| format!("signs {name} in"));
    printer.note(&format!("this link {whom}, once, within an hour"));
    printer.line(&link.url)
}
