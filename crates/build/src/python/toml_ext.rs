//! Reading TOML that others wrote: absent, wrongly typed and present values, told apart no more than is needed.

use toml::{Table, Value};

use crate::error::PlanError;
use crate::text;
use crate::tree::{READ_LIMIT, SourceTree};

/// Reads and parses a TOML file of the tree.
pub(crate) fn read(tree: &dyn SourceTree, path: &str) -> Result<Table, PlanError> {
    // Lock files of large projects are larger than any file written by hand.
    let decoded = text::decode(&tree.read(path, READ_LIMIT * 4)?);
    decoded.parse().map_err(|err: toml::de::Error| {
        let line = err.span().map(|span| decoded[..span.start.min(decoded.len())].matches('\n').count() + 1);
        PlanError::manifest(path, line, err.message().trim().to_owned())
    })
}

/// The table at a path of keys.
pub(crate) fn table<'a>(root: &'a Table, keys: &[&str]) -> Option<&'a Table> {
    keys.iter().try_fold(root, |table, key| table.get(*key)?.as_table())
}

/// The string at a key.
pub(crate) fn string<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get(key)?.as_str()
}

/// The strings of an array at a key; anything else in it is passed over.
pub(crate) fn strings<'a>(table: &'a Table, key: &str) -> Vec<&'a str> {
    table.get(key).and_then(Value::as_array).map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// The tables of an array at a key.
pub(crate) fn tables<'a>(table: &'a Table, key: &str) -> Vec<&'a Table> {
    table.get(key).and_then(Value::as_array).map(|all| all.iter().filter_map(Value::as_table).collect()).unwrap_or_default()
}
