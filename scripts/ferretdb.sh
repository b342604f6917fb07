#!/bin/sh
# Builds FerretDB, a server that speaks MongoDB's protocol, for tests; kept outside the repository, and left alone when it is there.
# Prints where it is. Needs Go 1.24 or later; where there is none, nothing is built and tests of MongoDB are left out.
set -eu

version=1.24.2
# The last number is that of what is changed below.
target=/var/cache/adaptable/test/ferretdb-$version-1

if [ -x "$target" ]; then
    echo "$target"
    exit 0
fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${minor:-0}" -lt 24 ]; then
    echo "ferretdb: there is no Go 1.24 or later, so tests of MongoDB are left out" >&2
    exit 0
fi

echo "ferretdb: building FerretDB $version for tests of MongoDB (a minute or two, once)" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tool"
cd "$work/tool"
# As a dependency of a module of ours it is checked against the checksum database.
go mod init tool >/dev/null 2>&1
go get -tool "github.com/FerretDB/FerretDB/cmd/ferretdb@v$version" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
cp -R "$(go list -m -f '{{.Dir}}' github.com/FerretDB/FerretDB)" "$work/source"
chmod -R u+w "$work/source"
# The program refuses to start without this file, which is not part of the module.
echo "v$version" >"$work/source/build/version/version.txt"
# MongoDB ends a SCRAM conversation with its last word when the driver asks for that (skipEmptyExchange, MongoDB 4.4), and the Rust
# driver insists on it; FerretDB 1.x waits for one more message. See the driver authentication specification, "Conversation".
patched=$work/source/internal/handler/msg_saslcontinue.go
sed -i -e 's|"done", valid, // for compat.*|"done", conv.Valid(),|' \
    -e 's|^\tresponse, err := conv.Step(string(payload.B))|&\n\tif err == nil \&\& conv.Valid() {\n\t\tconninfo.Get(connCtx).SetBypassBackendAuth()\n\t}|' "$patched"
[ "$(grep -c 'conv.Valid(),$\|^	if err == nil && conv.Valid() {$' "$patched")" -eq 2 ] ||
    { echo "ferretdb: its source is not as expected" >&2; exit 1; }
go mod edit -replace=github.com/FerretDB/FerretDB="$work/source"
CGO_ENABLED=0 GOFLAGS=-mod=mod go build -p 2 -trimpath -ldflags '-s -w' -o "$work/ferretdb" github.com/FerretDB/FerretDB/cmd/ferretdb
as_root mkdir -p "${target%/*}"
as_root install -m 755 "$work/ferretdb" "$target.new"
as_root mv "$target.new" "$target"
echo "$target"
