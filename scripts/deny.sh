#!/usr/bin/env bash
# Licences, banned and doubled crates by cargo-deny's settings (deny.toml); installed at the first run.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
cargo deny --all-features check bans licenses sources
# Advisories need their database, which lies elsewhere than the registry: a warning where it can't be reached.
cargo deny --all-features check advisories || echo "warning: advisories were not checked, or found something (see above)"
