#!/bin/sh
# Fetches axe-core, which tests of the pages in a browser look for what shuts people out with; kept outside the repository, and left alone
# when it is there. Needs npm; where there is none, that part of the tests is left out.
set -eu

version=4.14.1
target=${ADAPTABLE_TEST_TOOLS:-/var/cache/adaptable/test}/axe-core-$version.js

[ ! -e "$target" ] || exit 0
if ! command -v npm >/dev/null 2>&1; then
    echo "axe: there is no npm, so the pages are not searched for barriers" >&2
    exit 0
fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

echo "setup: fetching axe-core for tests ($target)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# npm compares what it fetches with the registry's checksums.
(cd "$work" && npm pack --silent "axe-core@$version" >/dev/null)
tar -xzf "$work/axe-core-$version.tgz" -C "$work" package/axe.min.js
as_root mkdir -p "$(dirname "$target")"
as_root install -m 644 "$work/package/axe.min.js" "$target.new"
as_root mv "$target.new" "$target"
