#!/bin/sh
# Fetches GitHub's own description of its API and its examples of webhooks, which tests of GitHub are held against; kept outside the
# repository, and left alone when they are there. Needs npm; where there is none, those tests are left out.
set -eu

api=23.0.2
webhooks=7.6.1
target=${ADAPTABLE_TEST_TOOLS:-/var/cache/adaptable/test}/github-$api-$webhooks

[ ! -e "$target/webhooks.json" ] || exit 0
if ! command -v npm >/dev/null 2>&1; then
    echo "github-descriptions: there is no npm, so the tests against GitHub's own description are left out" >&2
    exit 0
fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

echo "setup: fetching GitHub's description of its API for tests ($target)"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# npm compares what it fetches with the registry's checksums.
(cd "$work" && npm pack --silent "@octokit/openapi@$api" "@octokit/webhooks-examples@$webhooks" >/dev/null)
tar -xzf "$work/octokit-openapi-$api.tgz" -C "$work" package/generated/api.github.com.json
tar -xzf "$work/octokit-webhooks-examples-$webhooks.tgz" -C "$work" package/api.github.com/index.json
as_root mkdir -p "$target"
as_root install -m 644 "$work/package/generated/api.github.com.json" "$target/api.json"
# The last one says that all is there.
as_root install -m 644 "$work/package/api.github.com/index.json" "$target/webhooks.json.new"
as_root mv "$target/webhooks.json.new" "$target/webhooks.json"
