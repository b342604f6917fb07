//! Identifiers and literals for statements: the one place where text becomes a part of one.

/// An identifier, quoted: what is in it can't end it.
pub(super) fn identifier(name: &str) -> String {
    // A server's strings end at a zero byte; it can't be in a name.
    let clean: String = name.chars().filter(|c| *c != '\0').collect();
    format!("\"{}\"", clean.replace('"', "\"\""))
}

/// A text, quoted; whatever `standard_conforming_strings` says, since a backslash makes it an `E''` string.
pub(super) fn literal(text: &str) -> String {
    let clean: String = text.chars().filter(|c| *c != '\0').collect();
    let quoted = clean.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// What a server keeps of a password (RFC 5802, as PostgreSQL writes it): so the password itself is in no statement.
pub(super) fn verifier(password: &crate::Secret) -> String {
    postgres_protocol::password::scram_sha_256(password.reveal().as_bytes())
}
