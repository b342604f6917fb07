//! The statements that make, change, save and remove a database on a SQL Server, as text.

use model::database::DatabaseName;

use super::text::{identifier, string};
use crate::Secret;

/// Procedures that everybody may call and that look at the server's own files and registry.
const LOOK_AROUND: [&str; 3] = ["xp_dirtree", "xp_fileexist", "xp_regread"];

/// Makes the login, or gives it this password, and makes the database, in `master`.
///
/// A login sees the names of all databases unless that is denied. Policies of Windows about passwords mean nothing to a generated one,
/// and would lock an app out after some wrong guesses by a stranger.
pub(crate) fn create(name: &DatabaseName, password: &Secret) -> Vec<String> {
    let (login, literal, password) = (identifier(name.as_str()), string(name.as_str()), string(password.reveal()));
    let mut batches = vec![
        format!("IF DB_ID({literal}) IS NULL CREATE DATABASE {login}"),
        format!(
            "IF SUSER_ID({literal}) IS NULL CREATE LOGIN {login} WITH PASSWORD = {password}, CHECK_POLICY = OFF, DEFAULT_DATABASE = {login} \
             ELSE ALTER LOGIN {login} WITH PASSWORD = {password}"
        ),
        format!("DENY VIEW ANY DATABASE TO {login}"),
        format!("IF USER_ID({literal}) IS NULL CREATE USER {login} FOR LOGIN {login}"),
    ];
    batches.extend(LOOK_AROUND.map(|procedure| format!("DENY EXECUTE ON sys.{} TO {login}", identifier(procedure))));
    // Without backups of the log nothing would ever shorten it.
    batches.push(format!("ALTER DATABASE {login} SET RECOVERY SIMPLE"));
    batches
}

/// Makes the user within its database, with every right over tables, data and procedures there. Not `db_owner`: an owner may write
/// backups to, and read them from, any file of the server's.
pub(crate) fn user(name: &DatabaseName) -> Vec<String> {
    let (user, literal) = (identifier(name.as_str()), string(name.as_str()));
    let mut batches = vec![
        format!("IF USER_ID({literal}) IS NULL CREATE USER {user} FOR LOGIN {user} ELSE ALTER USER {user} WITH LOGIN = {user}"),
        format!("ALTER USER {user} WITH DEFAULT_SCHEMA = [dbo]"),
    ];
    batches.extend(
        ["db_ddladmin", "db_datareader", "db_datawriter"]
            .map(|role| format!("ALTER ROLE {} ADD MEMBER {user}", identifier(role))),
    );
    batches.push(format!("GRANT EXECUTE, REFERENCES, VIEW DEFINITION, SHOWPLAN TO {user}"));
    batches
}

/// The files of the current database: `id`, `name`, and the size in MB, of data files (type 0) first.
pub(crate) const FILES: &str = "SELECT CAST(file_id AS bigint) AS id, name, CAST((size + 127) / 128 AS bigint) AS megabytes FROM sys.database_files ORDER BY type, file_id";

/// Limits a database's file, by its own name in there, in MB.
pub(crate) fn limit(name: &DatabaseName, file: &str, megabytes: u64) -> String {
    format!("ALTER DATABASE {} MODIFY FILE (NAME = {}, MAXSIZE = {megabytes}MB)", identifier(name.as_str()), string(file))
}

/// Gives the login another password.
pub(crate) fn rotate(name: &DatabaseName, password: &Secret) -> String {
    format!("ALTER LOGIN {} WITH PASSWORD = {}", identifier(name.as_str()), string(password.reveal()))
}

/// Removes the database, the login, and what is left of them in `master`. Fine where they are gone.
pub(crate) fn remove(name: &DatabaseName) -> Vec<String> {
    let (login, literal) = (identifier(name.as_str()), string(name.as_str()));
    let mut batches = vec![format!("IF SUSER_ID({literal}) IS NOT NULL ALTER LOGIN {login} DISABLE")];
    batches.extend(drop_database(name.as_str()));
    batches.extend([
        // A login that is logged in can't be dropped.
        format!(
            "DECLARE @kill nvarchar(max) = N''; SELECT @kill += N'KILL ' + CAST(session_id AS nvarchar(10)) + N';' \
             FROM sys.dm_exec_sessions WHERE login_name = {literal}; EXEC (@kill)"
        ),
        format!("IF USER_ID({literal}) IS NOT NULL DROP USER {login}"),
        format!("IF SUSER_ID({literal}) IS NOT NULL DROP LOGIN {login}"),
    ]);
    batches
}

/// Drops a database, whoever is connected to it. Fine where there is none; one that was being restored can't be made exclusive.
pub(crate) fn drop_database(database: &str) -> [String; 2] {
    let (quoted, literal) = (identifier(database), string(database));
    [
        format!(
            "IF DATABASEPROPERTYEX({literal}, N'Status') = N'ONLINE' ALTER DATABASE {quoted} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"
        ),
        format!("IF DB_ID({literal}) IS NOT NULL DROP DATABASE {quoted}"),
    ]
}

/// Saves a database in a file of the server's; consistent, while it is used. Compressed where the edition can.
pub(crate) fn backup(name: &DatabaseName, file: &str, compressed: bool) -> String {
    let compression = if compressed { ", COMPRESSION" } else { "" };
    format!(
        "BACKUP DATABASE {} TO DISK = {} WITH COPY_ONLY, FORMAT, INIT, CHECKSUM{compression}",
        identifier(name.as_str()),
        string(file)
    )
}

/// How many databases are not there yet after a start (state 2 is recovering).
pub(crate) const RECOVERING: &str = "SELECT CAST(COUNT(*) AS bigint) FROM sys.databases WHERE state = 2";

/// Whether the edition compresses backups: all but Express (4).
pub(crate) const COMPRESSES: &str =
    "SELECT CAST(CASE WHEN CAST(SERVERPROPERTY('EngineEdition') AS int) = 4 THEN 0 ELSE 1 END AS bigint)";

/// Where the server makes the files of databases, data and log.
pub(crate) const DIRECTORIES: &str = "SELECT CAST(SERVERPROPERTY('InstanceDefaultDataPath') AS nvarchar(4000)) AS data, \
                                      CAST(SERVERPROPERTY('InstanceDefaultLogPath') AS nvarchar(4000)) AS log";

/// Reads a saved database and its checksums, without restoring it.
pub(crate) fn verify(file: &str) -> String {
    format!("RESTORE VERIFYONLY FROM DISK = {} WITH CHECKSUM", string(file))
}

/// The files that a saved database consists of: `LogicalName` and `Type` (`D` or `L`) among the columns.
pub(crate) fn list(file: &str) -> String {
    format!("RESTORE FILELISTONLY FROM DISK = {}", string(file))
}

/// One file of a saved database, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// Its name within the database.
    pub(crate) logical: String,
    /// The path on the server.
    pub(crate) to: String,
}

/// Where the files of a saved database go, when it is restored under a name that no other has: `files` are their names and types.
pub(crate) fn moves(database: &str, files: &[(String, String)], data: &str, log: &str) -> Vec<Move> {
    let place = |(index, (logical, kind)): (usize, &(String, String))| {
        let (directory, ending) = if kind == "L" { (log, "ldf") } else { (data, "ndf") };
        let separator = if directory.ends_with(['/', '\\']) { "" } else { "/" };
        Move { logical: logical.clone(), to: format!("{directory}{separator}{database}_{index}.{ending}") }
    };
    files.iter().enumerate().map(place).collect()
}

/// Restores a saved database as another one, which must not be there.
pub(crate) fn restore(database: &str, file: &str, moves: &[Move]) -> String {
    let mut options = vec!["CHECKSUM".to_owned(), "RECOVERY".to_owned()];
    options.extend(moves.iter().map(|one| format!("MOVE {} TO {}", string(&one.logical), string(&one.to))));
    format!("RESTORE DATABASE {} FROM DISK = {} WITH {}", identifier(database), string(file), options.join(", "))
}

/// Reads every page of a database.
pub(crate) fn check(database: &str) -> String {
    format!("DBCC CHECKDB ({}) WITH NO_INFOMSGS", string(database))
}

/// Tables of the current database, and rows in them: the first and the second column.
pub(crate) const COUNTS: &str = "SELECT CAST(COUNT(DISTINCT t.object_id) AS bigint) AS tables, CAST(COALESCE(SUM(p.rows), 0) AS bigint) AS rows \
                                 FROM sys.tables AS t LEFT JOIN sys.partitions AS p ON p.object_id = t.object_id AND p.index_id IN (0, 1)";

/// Puts a restored database in the place of the app's: two renamings, while nobody is connected.
pub(crate) fn swap(name: &DatabaseName, restored: &str, aside: &str) -> Vec<String> {
    let (own, literal, restored, aside) =
        (identifier(name.as_str()), string(name.as_str()), identifier(restored), identifier(aside));
    vec![
        format!("IF DB_ID({literal}) IS NOT NULL ALTER DATABASE {own} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"),
        format!("IF DB_ID({literal}) IS NOT NULL ALTER DATABASE {own} MODIFY NAME = {aside}"),
        format!("ALTER DATABASE {restored} MODIFY NAME = {own}"),
        format!("ALTER DATABASE {own} SET RECOVERY SIMPLE"),
    ]
}

/// Brings back what a restore had put aside when it ended between the two renamings.
pub(crate) fn mend(name: &DatabaseName, aside: &str) -> Vec<String> {
    let (own, literal) = (identifier(name.as_str()), string(name.as_str()));
    let (aside, aside_literal) = (identifier(aside), string(aside));
    vec![
        format!("IF DB_ID({literal}) IS NULL AND DB_ID({aside_literal}) IS NOT NULL ALTER DATABASE {aside} MODIFY NAME = {own}"),
        format!("IF DB_ID({literal}) IS NOT NULL ALTER DATABASE {own} SET MULTI_USER"),
    ]
}

/// Databases whose names begin with a text, as column `name`.
pub(crate) fn begin_with(prefix: &str) -> String {
    let literal = string(prefix);
    format!("SELECT name FROM sys.databases WHERE LEFT(name, {}) = {literal}", prefix.chars().count())
}

/// Bytes of a database's files that hold something.
pub(crate) const BYTES: &str =
    "SELECT CAST(COALESCE(SUM(CAST(FILEPROPERTY(name, 'SpaceUsed') AS bigint)), 0) * 8192 AS bigint) FROM sys.database_files";

/// Connections of a database's user.
pub(crate) fn connections(name: &DatabaseName) -> String {
    format!("SELECT COUNT_BIG(*) FROM sys.dm_exec_sessions WHERE login_name = {}", string(name.as_str()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::text::tests::{Token, tokens};
    use super::*;

    fn name() -> DatabaseName {
        DatabaseName::parse("app_shop").expect("a name")
    }

    fn quoted(statement: &str) -> Vec<Token> {
        tokens(statement).into_iter().filter(|token| !matches!(token, Token::Bare(_))).collect()
    }

    /// What is bare in a statement, so that two of them can be compared whatever their texts are.
    fn bare(statement: &str) -> String {
        let bare = |token| match token {
            Token::Bare(c) => c,
            Token::Identifier(_) => 'I',
            Token::String(_) => 'S',
        };
        tokens(statement).into_iter().map(bare).collect()
    }

    #[test]
    fn a_user_owns_neither_backups_nor_the_sight_of_others() {
        let made = [create(&name(), &Secret::new("pa'ss")), user(&name())].concat().join("\n");
        assert!(made.contains("DENY VIEW ANY DATABASE TO [app_shop]") && made.contains("PASSWORD = N'pa''ss'"), "{made}");
        assert!(!made.contains("db_owner") && !made.contains("sysadmin") && !made.contains("CONTROL"), "{made}");
    }

    #[test]
    fn statements_are_what_the_manual_says() {
        assert_eq!(
            backup(&name(), "/b/x.bak", true),
            "BACKUP DATABASE [app_shop] TO DISK = N'/b/x.bak' WITH COPY_ONLY, FORMAT, INIT, CHECKSUM, COMPRESSION"
        );
        let files = [("a".to_owned(), "D".to_owned()), ("a'log".to_owned(), "L".to_owned())];
        let moves = moves("restore_app_shop_1", &files, "/d/", "C:\\l");
        assert_eq!(
            restore("restore_app_shop_1", "/b/x.bak", &moves),
            "RESTORE DATABASE [restore_app_shop_1] FROM DISK = N'/b/x.bak' WITH CHECKSUM, RECOVERY, \
             MOVE N'a' TO N'/d/restore_app_shop_1_0.ndf', MOVE N'a''log' TO N'C:\\l/restore_app_shop_1_1.ldf'"
        );
        assert_eq!(limit(&name(), "app_shop", 16), "ALTER DATABASE [app_shop] MODIFY FILE (NAME = N'app_shop', MAXSIZE = 16MB)");
        assert_eq!(begin_with("scratch_a_"), "SELECT name FROM sys.databases WHERE LEFT(name, 10) = N'scratch_a_'");
    }

    proptest! {
        /// Passwords, names within a dump, and paths never change what a statement says.
        #[test]
        fn texts_stay_texts(one in "\\PC{0,30}", other in "\\PC{0,30}") {
            let secret = Secret::new(one.clone());
            prop_assert_eq!(bare(&rotate(&name(), &secret)), bare(&rotate(&name(), &Secret::new("x"))));
            for (ours, plain) in create(&name(), &secret).iter().zip(create(&name(), &Secret::new("x"))) {
                prop_assert_eq!(bare(ours), bare(&plain));
            }
            let to = |logical: &str, to: &str| [Move { logical: logical.to_owned(), to: to.to_owned() }];
            prop_assert_eq!(bare(&restore(&one, &other, &to(&one, &other))), bare(&restore("x", "y", &to("x", "y"))));
            prop_assert_eq!(quoted(&limit(&name(), &one, 1)), vec![Token::Identifier("app_shop".to_owned()), Token::String(one.clone())]);
            for (ours, plain) in drop_database(&one).iter().zip(drop_database("x")) {
                prop_assert_eq!(bare(ours), bare(&plain));
            }
            for statement in [verify(&one), list(&one), check(&one), backup(&name(), &one, false)] {
                prop_assert!(quoted(&statement).contains(&Token::String(one.clone())));
            }
            for (ours, plain) in swap(&name(), &one, &other).iter().zip(swap(&name(), "x", "y")) {
                prop_assert_eq!(bare(ours), bare(&plain));
            }
        }
    }

    #[test]
    fn every_statement_can_be_read() {
        let mut all =
            [create(&name(), &Secret::new("p")), user(&name()), remove(&name()), mend(&name(), "old"), swap(&name(), "a", "b")]
                .concat();
        all.extend([connections(&name()), begin_with("x")]);
        for statement in &all {
            assert!(!tokens(statement).is_empty(), "{statement}");
        }
    }
}
