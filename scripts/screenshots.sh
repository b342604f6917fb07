#!/bin/sh
# Makes docs/screenshots anew: every page, wide and narrow, light and dark, of a platform in which something has happened.
set -eu
cd "$(dirname "$0")/.."

target=$(pwd)/docs/screenshots
mkdir -p "$target"
ADAPTABLE_SCREENSHOTS="$target" "$@" every_page --nocapture
# Pages have few colours; a picture that would not be smaller stays as it is.
find "$target" -name '*.png' -exec pngquant --force --skip-if-larger --strip --speed 1 --quality 70-100 --ext .png {} + || true
find "$target" -name '*.png' | wc -l | xargs printf 'screenshots: %s pictures, '
du -sh "$target" | cut -f1
