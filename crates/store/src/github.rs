//! GitHub's part of the state: the App's keys, installations, users' tokens, browsers on their way, and the repositories of apps.
//!
//! What is sealed here is in the words of others: this crate reads none of it.

use model::AppName;
use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AppId, StoreError, Tx, word};

/// The most browsers that may be on their way to GitHub at once: strangers can send theirs.
const FLOWS_MAX: u32 = 1000;

/// The platform's GitHub App.
#[derive(Debug, Clone)]
pub struct GitHubApp<T> {
    /// Its keys.
    pub keys: T,
    /// When it was set up.
    pub created_at: i64,
    /// Why GitHub takes the keys no more.
    pub problem: Option<String>,
}

/// An installation of the App.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallationRow {
    /// GitHub's number of it.
    pub id: u64,
    /// The account that it is on.
    pub account: String,
    /// `user` or `organization`.
    pub kind: String,
    /// Where it is managed on GitHub; empty where that is not known.
    pub page: String,
    /// Whether it is suspended.
    pub suspended: bool,
    /// When GitHub last told of it.
    pub seen_at: i64,
}

/// Where an app's source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// GitHub's number of the repository.
    pub repository: u64,
    /// Its name as last seen.
    pub full_name: String,
    /// The installation that opens it.
    pub installation: u64,
    /// The branch that is deployed.
    pub branch: String,
    /// Whether a push deploys.
    pub auto_deploy: bool,
    /// The commit that the last worked push began at; empty where there was none.
    pub push_before: String,
    /// The commit that it ended at.
    pub push_after: String,
    /// The newest commit of the branch that was dealt with, by a push or otherwise; empty where none is known.
    pub head: String,
    /// What stands in the way of the next push.
    pub trouble: Option<Trouble>,
    /// When the link was made.
    pub linked_at: i64,
}

/// What stands in the way, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Since when.
    pub at: i64,
}

const KEYS: &str = "github_app.keys";

fn token_place(user: i64) -> String {
    format!("github_token.tokens:{user}")
}

const SOURCE: &str = "repository, full_name, installation, branch, auto_deploy, push_before, push_after, trouble, help, trouble_at, linked_at, \
     head";

#[expect(clippy::cast_sign_loss, reason = "GitHub's numbers are positive, and were when they were written")]
fn number(number: i64) -> u64 {
    number as u64
}

/// GitHub's numbers as SQLite has them.
#[expect(clippy::cast_possible_wrap, reason = "GitHub's numbers are far below")]
pub(crate) fn column(number: u64) -> i64 {
    number as i64
}

fn source(row: &Row<'_>) -> rusqlite::Result<SourceRow> {
    let trouble = match (row.get::<_, Option<String>>(7)?, row.get::<_, Option<String>>(8)?, row.get::<_, Option<i64>>(9)?) {
        (Some(message), help, at) => Some(Trouble { message, help: help.unwrap_or_default(), at: at.unwrap_or_default() }),
        (None, ..) => None,
    };
    Ok(SourceRow {
        repository: number(row.get(0)?),
        full_name: row.get(1)?,
        installation: number(row.get(2)?),
        branch: row.get(3)?,
        auto_deploy: row.get(4)?,
        push_before: row.get(5)?,
        push_after: row.get(6)?,
        trouble,
        linked_at: row.get(10)?,
        head: row.get(11)?,
    })
}

impl Tx<'_> {
    /// The platform's GitHub App, where one is set up.
    pub fn github_app<T: DeserializeOwned>(&self) -> Result<Option<GitHubApp<T>>, StoreError> {
        let row = self.db.query_row("select keys, created_at, problem from github_app", [], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<String>>(2)?))
        });
        let Some((sealed, created_at, problem)) = row.optional()? else { return Ok(None) };
        Ok(Some(GitHubApp { keys: self.sealer.open_json("the GitHub App's keys", KEYS, &sealed)?, created_at, problem }))
    }

    /// Keeps the App's keys, in the place of others.
    pub fn set_github_app(&self, keys: &impl Serialize, now: i64) -> Result<(), StoreError> {
        let sealed = self.sealer.seal_json(KEYS, keys)?;
        self.db.execute("insert or replace into github_app (one, keys, created_at) values (1, ?, ?)", params![sealed, now])?;
        Ok(())
    }

    /// Notes why GitHub takes the App's keys no more, or that it does.
    pub fn set_github_problem(&self, problem: Option<&str>) -> Result<(), StoreError> {
        self.db.execute("update github_app set problem = ?1 where problem is not ?1", [problem])?;
        Ok(())
    }

    /// Forgets the App, its installations, users' tokens, and what GitHub was still to be told. Repositories of apps stay named.
    pub fn remove_github_app(&self) -> Result<(), StoreError> {
        self.db.execute_batch(
            "delete from github_app; delete from github_installation; delete from github_token; delete from github_flow;
             delete from github_report;
             update github_delivery set state = 'done', payload = null, result = 'the GitHub App was removed' where state = 'waiting';",
        )?;
        Ok(())
    }

    /// Every installation that is known, by account.
    pub fn installations(&self) -> Result<Vec<InstallationRow>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("select id, account, kind, page, suspended, seen_at from github_installation order by account")?;
        let rows = statement.query_map([], |row| {
            Ok(InstallationRow {
                id: number(row.get(0)?),
                account: row.get(1)?,
                kind: row.get(2)?,
                page: row.get(3)?,
                suspended: row.get(4)?,
                seen_at: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes an installation. A page that is not known does not take the place of one that is.
    pub fn set_installation(&self, row: &InstallationRow) -> Result<(), StoreError> {
        self.db.execute(
            "insert into github_installation (id, account, kind, page, suspended, seen_at) values (?, ?, ?, ?, ?, ?)
             on conflict do update set account = excluded.account, kind = excluded.kind, suspended = excluded.suspended,
             seen_at = excluded.seen_at, page = case excluded.page when '' then page else excluded.page end",
            params![column(row.id), row.account, row.kind, row.page, row.suspended, row.seen_at],
        )?;
        Ok(())
    }

    /// Forgets an installation.
    pub fn remove_installation(&self, id: u64) -> Result<(), StoreError> {
        self.db.execute("delete from github_installation where id = ?", [column(id)])?;
        Ok(())
    }

    /// A user's tokens.
    pub fn github_token<T: DeserializeOwned>(&self, user: i64) -> Result<Option<T>, StoreError> {
        let sealed: Option<Vec<u8>> =
            self.db.query_row("select tokens from github_token where user = ?", [user], |row| row.get(0)).optional()?;
        sealed.map(|sealed| Ok(self.sealer.open_json("a user's tokens", &token_place(user), &sealed)?)).transpose()
    }

    /// Keeps a user's tokens, in the place of others.
    pub fn set_github_token(&self, user: i64, tokens: &impl Serialize, now: i64) -> Result<(), StoreError> {
        let sealed = self.sealer.seal_json(&token_place(user), tokens)?;
        self.db.execute(
            "insert or replace into github_token (user, tokens, updated_at) values (?, ?, ?)",
            params![user, sealed, now],
        )?;
        Ok(())
    }

    /// Forgets a user's tokens; says whether there were some.
    pub fn remove_github_token(&self, user: i64) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from github_token where user = ?", [user])? > 0)
    }

    /// Forgets the tokens of whoever has that number at GitHub.
    pub fn revoke_github_token(&self, person: u64) -> Result<(), StoreError> {
        self.db.execute("delete from github_token where user in (select id from user where github_id = ?)", [column(person)])?;
        Ok(())
    }

    /// Keeps what a browser will be known by when it comes back. Those that are late go, and the oldest where there are very many.
    pub fn create_flow(&self, state: &[u8], flow: &impl Serialize, now: i64, expires_at: i64) -> Result<(), StoreError> {
        self.db.execute("delete from github_flow where expires_at <= ?", [now])?;
        self.db.execute(
            "delete from github_flow where state in (select state from github_flow order by expires_at desc limit -1 offset ?)",
            [FLOWS_MAX - 1],
        )?;
        let sealed = self.sealer.seal_json("github_flow.flow", flow)?;
        self.db
            .execute("insert into github_flow (state, flow, expires_at) values (?, ?, ?)", params![state, sealed, expires_at])?;
        Ok(())
    }

    /// What was kept for that state, which is of no use again.
    pub fn take_flow<T: DeserializeOwned>(&self, state: &[u8], now: i64) -> Result<Option<T>, StoreError> {
        let row = self
            .db
            .query_row("delete from github_flow where state = ? returning flow, expires_at", [state], |row| {
                Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        match row {
            Some((sealed, expires_at)) if expires_at > now => {
                Ok(Some(self.sealer.open_json("a sign-in", "github_flow.flow", &sealed)?))
            }
            _ => Ok(None),
        }
    }

    /// Where an app's source comes from.
    pub fn app_source(&self, app: AppId) -> Result<Option<SourceRow>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!("select {SOURCE} from app_source where app = ?"))?;
        Ok(statement.query_row([app.0], source).optional()?)
    }

    /// The apps whose source is a repository, or every app that has one.
    pub fn app_sources(&self, repository: Option<u64>) -> Result<Vec<(AppId, AppName, SourceRow)>, StoreError> {
        let mut statement = self.db.prepare_cached(&format!(
            "select {SOURCE}, app.id, app.name from app_source join app on app.id = app_source.app
             where ?1 is null or repository = ?1 order by app.name"
        ))?;
        let rows = statement
            .query_map([repository.map(column)], |row| Ok((source(row)?, row.get::<_, i64>(12)?, row.get::<_, String>(13)?)))?
            .collect::<Result<Vec<_>, _>>()?;
        rows.into_iter()
            .map(|(source, id, name)| Ok((AppId(id), word("app.name", &name, |text| AppName::parse(text).ok())?, source)))
            .collect()
    }

    /// Links an app to a branch of a repository, in the place of another one.
    pub fn set_app_source(&self, app: AppId, row: &SourceRow) -> Result<(), StoreError> {
        self.db.execute(
            "insert or replace into app_source (app, repository, full_name, installation, branch, auto_deploy, linked_at, head)
             values (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                app.0,
                column(row.repository),
                row.full_name,
                column(row.installation),
                row.branch,
                row.auto_deploy,
                row.linked_at,
                row.head
            ],
        )?;
        Ok(())
    }

    /// Says whether pushes deploy an app. What was pushed while they did not is not deployed when they do again.
    pub fn set_auto_deploy(&self, app: AppId, auto_deploy: bool) -> Result<(), StoreError> {
        self.db.execute(
            "update app_source set auto_deploy = ?1, head = iif(auto_deploy = ?1, head, '') where app = ?2",
            params![auto_deploy, app.0],
        )?;
        Ok(())
    }

    /// Unlinks an app; says whether it was linked.
    pub fn remove_app_source(&self, app: AppId) -> Result<bool, StoreError> {
        Ok(self.db.execute("delete from app_source where app = ?", [app.0])? > 0)
    }

    /// Notes what stands in the way of an app's next push, or that nothing does.
    pub fn set_source_trouble(&self, app: AppId, trouble: Option<&Trouble>) -> Result<(), StoreError> {
        let (message, help) = (trouble.map(|trouble| &trouble.message), trouble.map(|trouble| &trouble.help));
        self.db.execute(
            "update app_source set trouble = ?, help = ?, trouble_at = ? where app = ?",
            params![message, help, trouble.map(|trouble| trouble.at), app.0],
        )?;
        Ok(())
    }

    /// Notes the last push that an app has seen.
    pub fn set_source_push(&self, app: AppId, before: &str, after: &str) -> Result<(), StoreError> {
        self.db.execute(
            "update app_source set push_before = ?1, push_after = ?2, head = ?2 where app = ?3",
            params![before, after, app.0],
        )?;
        Ok(())
    }

    /// Notes the newest commit of its branch that an app has dealt with.
    pub fn set_source_head(&self, app: AppId, head: &str) -> Result<(), StoreError> {
        self.db.execute("update app_source set head = ? where app = ?", params![head, app.0])?;
        Ok(())
    }

    /// A repository has another name, or another installation opens it, for every app that comes from it.
    pub fn move_repository(&self, repository: u64, full_name: &str, installation: Option<u64>) -> Result<(), StoreError> {
        self.db.execute(
            "update app_source set full_name = ?, installation = coalesce(?, installation) where repository = ?",
            params![full_name, installation.map(column), column(repository)],
        )?;
        Ok(())
    }
}
