//! Users of MongoDB databases: each owns its own and sees no other, and may no longer write where it holds too much.

use ::mongodb::bson::{Bson, Document, doc};
use model::database::DatabaseName;

use super::client::{Session, code, failed, fine_if};
use crate::{DatabaseError, Result, Secret, Usage};

/// The role of a user whose database holds more than it may: look, and clean up.
const OVER_LIMIT: &str = "adaptableOverLimit";
/// What that role may do (MongoDB's "Privilege Actions"). Nothing that makes a database larger.
const CLEAN_UP: [&str; 12] = [
    "changeStream",
    "collStats",
    "compact",
    "dbHash",
    "dbStats",
    "dropCollection",
    "dropIndex",
    "find",
    "killCursors",
    "listCollections",
    "listIndexes",
    "remove",
];
/// A database that nobody has, by which it is found out whether users are kept apart.
const PROBE: &str = "adaptable_probe";

/// Makes the user of a database, or gives the one that is there this password and all its rights.
pub(crate) async fn ensure(admin: &Session, name: &DatabaseName, password: &Secret, roles: bool) -> Result<()> {
    let own = |first: &str| {
        let roles: Vec<Document> = if roles { vec![owner(name)] } else { Vec::new() };
        doc! { first: name.as_str(), "pwd": password.reveal(), "roles": roles, "mechanisms": ["SCRAM-SHA-256"] }
    };
    let made = admin.run(name.as_str(), own("createUser")).await;
    if fine_if(made, &[code::USER_EXISTS])?.is_none() {
        admin.run(name.as_str(), own("updateUser")).await.map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// Gives a user another password.
pub(crate) async fn rotate(admin: &Session, name: &DatabaseName, password: &Secret) -> Result<()> {
    let command = doc! { "updateUser": name.as_str(), "pwd": password.reveal(), "mechanisms": ["SCRAM-SHA-256"] };
    admin.run(name.as_str(), command).await.map(drop).map_err(|error| failed(&error))
}

/// Removes every user of a database, the database, and its roles. Fine where they are gone.
pub(crate) async fn remove(admin: &Session, name: &DatabaseName) -> Result<()> {
    let (name, gone) = (name.as_str(), [code::USER_NOT_FOUND, code::ROLE_NOT_FOUND, code::NAMESPACE_NOT_FOUND]);
    // The user first, so that nobody makes it anew by writing.
    fine_if(admin.run(name, doc! { "dropAllUsersFromDatabase": 1 }).await, &gone)?;
    fine_if(admin.run(name, doc! { "dropDatabase": 1 }).await, &gone)?;
    let roles = admin.run(name, doc! { "dropAllRolesFromDatabase": 1 }).await;
    // FerretDB has no roles.
    fine_if(roles, &[code::ROLE_NOT_FOUND, code::COMMAND_NOT_FOUND, code::NOT_IMPLEMENTED]).map(drop)
}

/// Finds out, as the user of a database, whether the server keeps users apart.
///
/// # Errors
/// [`DatabaseError::Unavailable`] where it does not: a server without authorization, or one that has no roles.
pub(crate) async fn separated(user: &Session) -> Result<()> {
    let tried = user.run(PROBE, doc! { "find": "probe", "limit": 1 }).await;
    match tried {
        Ok(_) => Err(unseparated()),
        Err(error) if code::UNAUTHORIZED == code(&error).unwrap_or_default() => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// Why a server that does not keep users apart is none for apps.
pub(crate) fn unseparated() -> DatabaseError {
    DatabaseError::Unavailable {
        what: "the MongoDB server does not keep users apart: the user of one app's database can read every other".to_owned(),
        help:
            "start it with authorization (mongod --auth); FerretDB 1.x can't. If all its apps are yours and may see each other's \
               data, set mongodb-unseparated = true"
                .to_owned(),
    }
}

/// Bytes that a database holds: what WiredTiger keeps for later use, after documents were removed, does not count, where the server
/// tells (`freeStorage`, MongoDB 5.3 and later).
pub(crate) async fn bytes(admin: &Session, name: &DatabaseName) -> Result<u64> {
    let ask = |more: bool| {
        let mut command = doc! { "dbStats": 1 };
        if more {
            command.insert("freeStorage", 1);
        }
        admin.run(name.as_str(), command)
    };
    let stats = match ask(true).await {
        Ok(stats) => stats,
        Err(error) if code(&error).is_some() => ask(false).await.map_err(|error| failed(&error))?,
        Err(error) => return Err(failed(&error)),
    };
    let number = |key: &str| stats.get(key).map_or(0, count);
    let held = number("storageSize") + number("indexSize");
    let free = number("freeStorageSize") + number("indexFreeStorageSize");
    Ok(held.saturating_sub(free))
}

/// What a database holds, and how many connections are open that its user has authenticated.
pub(crate) async fn usage(admin: &Session, name: &DatabaseName) -> Result<Usage> {
    let mut usage = Usage { bytes: bytes(admin, name).await?, connections: 0 };
    let pipeline = vec![
        doc! { "$currentOp": { "allUsers": true, "idleConnections": true } },
        doc! { "$match": { "effectiveUsers": { "$elemMatch": { "user": name.as_str(), "db": name.as_str() } } } },
        doc! { "$group": { "_id": "$connectionId" } },
        doc! { "$count": "connections" },
    ];
    let found = admin.run("admin", doc! { "aggregate": 1, "pipeline": pipeline, "cursor": {} }).await;
    // FerretDB aggregates collections alone, and knows of no connections.
    let lacks = [code::NOT_IMPLEMENTED, code::COMMAND_NOT_FOUND, UNRECOGNIZED_STAGE, FAILED_TO_PARSE];
    if let Some(answer) = fine_if(found, &lacks)? {
        let first =
            answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).ok().and_then(|batch| batch.first());
        let connections = first.and_then(Bson::as_document).and_then(|document| document.get("connections")).map_or(0, count);
        usage.connections = u32::try_from(connections).unwrap_or(u32::MAX);
    }
    Ok(usage)
}

/// There is no such stage of an aggregation.
const UNRECOGNIZED_STAGE: i32 = 40324;
/// A command's form is not understood.
const FAILED_TO_PARSE: i32 = 9;

fn count(value: &Bson) -> u64 {
    match value {
        Bson::Int32(number) => u64::try_from(*number).unwrap_or(0),
        Bson::Int64(number) => u64::try_from(*number).unwrap_or(0),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, and whole bytes are enough")]
        Bson::Double(number) => *number as u64,
        _ => 0,
    }
}

/// Takes the right to write away from a user whose database holds more than `most` bytes, and gives it back below: whether it may.
///
/// A user that the app has made in its own database (an owner may) is not held by it.
pub(crate) async fn limit(admin: &Session, name: &DatabaseName, most: u64) -> Result<bool> {
    let over = bytes(admin, name).await? > most;
    let info = admin.run(name.as_str(), doc! { "usersInfo": name.as_str() }).await.map_err(|error| failed(&error))?;
    let held = info.get_array("users").ok().and_then(|users| users.first()).and_then(Bson::as_document).is_some_and(is_held);
    if over == held {
        return Ok(!over);
    }
    let roles = if over {
        let privilege = doc! { "resource": { "db": name.as_str(), "collection": "" }, "actions": CLEAN_UP.as_slice() };
        let role = doc! { "createRole": OVER_LIMIT, "privileges": [privilege], "roles": [] };
        fine_if(admin.run(name.as_str(), role).await, &[code::ROLE_EXISTS])?;
        vec![doc! { "role": OVER_LIMIT, "db": name.as_str() }]
    } else {
        vec![owner(name)]
    };
    admin.run(name.as_str(), doc! { "updateUser": name.as_str(), "roles": roles }).await.map_err(|error| failed(&error))?;
    if over {
        tracing::warn!(database = %name, "it holds more than it may: its user can look and remove, and no longer write");
    } else {
        tracing::info!(database = %name, "it holds less than it may again: its user can write");
    }
    Ok(!over)
}

/// Where the platform keeps what it must know of databases after it was started anew: a collection of a database of its own.
const NOTES: (&str, &str) = ("adaptable", "databases");

/// Notes how many bytes a database may hold.
pub(crate) async fn note(admin: &Session, name: &DatabaseName, most: u64) -> Result<()> {
    let update = doc! {
        "q": { "_id": name.as_str() },
        "u": { "$set": { "bytes": i64::try_from(most).unwrap_or(i64::MAX) } },
        "upsert": true,
    };
    let command = doc! { "update": NOTES.1, "updates": [update] };
    admin.run(NOTES.0, command).await.map(drop).map_err(|error| failed(&error))
}

/// How many bytes a database may hold, where that has been noted.
pub(crate) async fn noted(admin: &Session, name: &DatabaseName) -> Result<Option<u64>> {
    let command = doc! { "find": NOTES.1, "filter": { "_id": name.as_str() }, "limit": 1 };
    let answer = admin.run(NOTES.0, command).await.map_err(|error| failed(&error))?;
    let first =
        answer.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch")).ok().and_then(|batch| batch.first());
    Ok(first.and_then(Bson::as_document).and_then(|note| note.get("bytes")).map(count))
}

/// Forgets a database.
pub(crate) async fn forget(admin: &Session, name: &DatabaseName) -> Result<()> {
    let command = doc! { "delete": NOTES.1, "deletes": [{ "q": { "_id": name.as_str() }, "limit": 1 }] };
    admin.run(NOTES.0, command).await.map(drop).map_err(|error| failed(&error))
}

/// The role that a user has in its own database, and nowhere else.
fn owner(name: &DatabaseName) -> Document {
    doc! { "role": "dbOwner", "db": name.as_str() }
}

fn is_held(user: &Document) -> bool {
    user.get_array("roles").is_ok_and(|roles| {
        roles.iter().any(|role| role.as_document().and_then(|role| role.get_str("role").ok()) == Some(OVER_LIMIT))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_holds_too_much_may_not_write() {
        for writes in [
            "insert",
            "update",
            "createIndex",
            "createCollection",
            "convertToCapped",
            "grantRole",
            "createUser",
            "enableProfiler",
        ] {
            assert!(!CLEAN_UP.contains(&writes), "{writes}");
        }
        assert!(is_held(&doc! { "user": "app_a", "roles": [{ "role": OVER_LIMIT, "db": "app_a" }] }));
        assert!(!is_held(&doc! { "user": "app_a", "roles": [{ "role": "dbOwner", "db": "app_a" }] }));
        assert!(!is_held(&doc! { "user": "app_a" }));
    }

    #[test]
    fn sizes_of_all_kinds_are_counted() {
        assert_eq!(
            [Bson::Int32(5), Bson::Int64(-1), Bson::Double(7.9), Bson::Null].iter().map(count).collect::<Vec<_>>(),
            [5, 0, 7, 0]
        );
    }
}
