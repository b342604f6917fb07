//! Lists in pages: `limit`, `cursor`, and the `Link` to the next page.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which part of a list is asked for.
#[expect(dead_code, reason = "pages come next")]
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct PageQuery {
    /// Entries at most, 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) limit: Option<u32>,
    /// Where to go on, from the `Link` of the page before.
    pub(crate) cursor: Option<String>,
}
