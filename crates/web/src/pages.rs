//! The platform's pages: their frame, what they are made of, and one module for each of them.

pub(crate) mod assets;
pub(crate) mod errors;
#[expect(dead_code, reason = "pages that use the rest of it are being built")]
pub(crate) mod flash;
pub(crate) mod front;
#[expect(dead_code, reason = "pages that use the rest of it are being built")]
pub(crate) mod layout;
#[expect(dead_code, reason = "pages that use the rest of it are being built")]
pub(crate) mod plot;
#[expect(dead_code, reason = "pages that use the rest of it are being built")]
pub(crate) mod text;
