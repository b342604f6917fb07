#!/bin/sh
# Installs a small S3 server that checks signatures, which tests of backups talk to. At no cost when it is there.
set -eu

version=0.14.1
root="${ADAPTABLE_TEST_TOOLS:-/var/cache/adaptable/test}"
program="$root/bin/s3s-fs"

if [ "$("$program" --version 2>/dev/null || true)" = "s3s-fs $version" ]; then
    exit 0
fi
echo "setup: building an S3 server for tests ($program)"
as_root=""
[ -w "$(dirname "$root")" ] || [ "$(id -u)" -eq 0 ] || as_root=sudo
$as_root mkdir -p "$root"
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
CARGO_TARGET_DIR="$built/target" cargo install --quiet --locked --root "$built/root" --features binary --bin s3s-fs "s3s-fs@$version"
$as_root install -D -m 0755 "$built/root/bin/s3s-fs" "$program"
