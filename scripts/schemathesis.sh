#!/bin/sh
# Installs schemathesis, which tries the API against its own description, for a test. Prints the program; at no cost when it is there.
set -eu

version=4.32.5
root="${ADAPTABLE_TEST_TOOLS:-/var/cache/adaptable/test}/schemathesis-$version"
program="$root/bin/schemathesis"

if [ ! -x "$program" ]; then
    echo "schemathesis: installing $version for tests of the API (once)" >&2
    as_root=""
    [ -w "$(dirname "$(dirname "$root")")" ] || [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root mkdir -p "$(dirname "$root")"
    # A place beside it, which gets its name when it is whole. A virtual environment knows its place, so that is mended.
    made="$root.$$"
    trap '$as_root rm -rf "$made"' EXIT
    $as_root python3 -m venv "$made" >&2
    $as_root "$made/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version" >&2
    $as_root sed -i "1s|$made|$root|" "$made/bin/schemathesis" "$made/bin/st"
    $as_root mv -T "$made" "$root"
fi
echo "$program"
