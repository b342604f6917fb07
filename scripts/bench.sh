#!/bin/sh
# Measures target/release/adaptable. BENCH_JSON=1 prints a document, BENCH_DOCKER=1 starts a Docker engine where none answers.
set -eu
cd "$(dirname "$0")/.."
${CARGO:-cargo} build --quiet --release --package bench
if [ "$(id -u)" -eq 0 ]; then
    exec target/release/bench "$@"
fi
exec sudo --preserve-env=BENCH_JSON,BENCH_DOCKER target/release/bench "$@"
