#!/bin/sh
# Makes docs/screenshots anew: every page, wide and narrow, light and dark, of a platform in which something has happened; and the list of
# them.
set -eu
cd "$(dirname "$0")/.."

target=$(pwd)/docs/screenshots
mkdir -p "$target"
ADAPTABLE_SCREENSHOTS="$target" "$@" every_page --nocapture

{
    echo "# Every page"
    echo
    echo "At 1440 and at 390 pixels, light and dark; \`make screenshots\` makes them anew. What lies below 1100 pixels is cut off."
    echo
    echo "| page | wide | | narrow | |"
    echo "| --- | --- | --- | --- | --- |"
    for picture in "$target"/*-1440-light.webp; do
        page=$(basename "$picture" -1440-light.webp)
        echo "| $page | [light]($page-1440-light.webp) | [dark]($page-1440-dark.webp) | [light]($page-390-light.webp) | [dark]($page-390-dark.webp) |"
    done
} >"$target/README.md"
find "$target" -name '*.webp' | wc -l | xargs printf 'screenshots: %s pictures, '
du -sh "$target" | cut -f1
