//! Warm requests over connections that stay: through the edge with TLS, and to the bare server without.

use std::net::TcpStream;

use anyhow::Result;

use crate::app::{App, NAME};
use crate::bare::Bare;
use crate::figures::Samples;
use crate::visit::Kept;

/// Requests of one kind in a row.
const BATCH: usize = 100;

/// What was measured.
#[derive(Default)]
pub(crate) struct Warm {
    /// Through the edge.
    pub(crate) edge: Samples,
    /// To the bare server.
    pub(crate) bare: Samples,
    /// Through the edge, the connection and its TLS handshake included.
    pub(crate) connecting: Samples,
}

/// Sends `count` requests each way, in turns.
pub(crate) fn measure(app: &App<'_>, bare: &Bare, count: usize) -> Result<Warm> {
    let mut warm = Warm::default();
    app.visit()?;
    let running = bare.start()?;
    for _ in 0..count.div_ceil(BATCH) {
        let mut edge = Kept::new(app.platform().connect(NAME)?, &format!("{NAME}.localhost"));
        let tcp = TcpStream::connect(running.address)?;
        tcp.set_nodelay(true)?;
        let mut direct = Kept::new(tcp, "localhost");
        edge.get()?;
        direct.get()?;
        for _ in 0..BATCH {
            warm.edge.add(edge.get()?);
        }
        for _ in 0..BATCH {
            warm.bare.add(direct.get()?);
        }
        for _ in 0..BATCH / 10 {
            warm.connecting.add(app.visit()?.seconds);
        }
    }
    Ok(warm)
}
