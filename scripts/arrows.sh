#!/usr/bin/env bash
# The arrows between crates point down this list only (ARCHITECTURE.md); an arrow that points up fails the check.
set -euo pipefail
cd "$(dirname "$0")/.."

order="adaptable web control edge source build database vault engine github image sandbox store api model figures"
# Neighbours in the list that must not know each other all the same.
forbidden="edge:source edge:build edge:engine edge:image edge:sandbox edge:store edge:api edge:model
           source:build source:engine source:image source:sandbox source:store source:api
           sandbox:store sandbox:api sandbox:model image:sandbox image:store image:api image:model
           build:store build:api store:api database:vault vault:engine vault:image vault:sandbox vault:store vault:api database:store database:api database:build database:source
           database:github vault:github engine:github edge:github source:github build:github
           github:image github:sandbox github:store github:api github:figures"

cargo metadata --format-version 1 --no-deps | python3 -c '
import json, sys
order = sys.argv[1].split(); forbidden = set(sys.argv[2].split())
packages = {p["name"]: p for p in json.load(sys.stdin)["packages"]}
bad = []
for name, package in packages.items():
    if name not in order:
        continue
    for dependency in package["dependencies"]:
        target = dependency["name"]
        if target in order and dependency["kind"] is None:
            if order.index(target) <= order.index(name) or f"{name}:{target}" in forbidden:
                bad.append(f"{name} -> {target}")
if bad:
    sys.exit("arrows that must not be: " + ", ".join(bad))
print(f"{len(packages)} crates, all arrows point down")
' "$order" "$forbidden"

# Files that nobody wants to read aloud.
long=$(git ls-files '*.rs' | xargs wc -l | awk '$2 != "total" && $1 > 500 { print "  " $2 ": " $1 " lines" }')
[ -z "$long" ] || { echo "files of more than 500 lines:"; echo "$long"; exit 1; }
# Every file says in its first line what it is responsible for.
silent=$(git ls-files '*.rs' | while read -r file; do head -n 1 "$file" | grep -q '^//! ' || echo "  $file"; done)
[ -z "$silent" ] || { echo "files that don't begin with //!:"; echo "$silent"; exit 1; }
