#!/usr/bin/env bash
# Runs the fuzz targets, each for some seconds (10 where nothing is said): scripts/fuzz.sh [SECONDS [TARGET...]]
# What is found lies in fuzz/artifacts; FUZZ_TARGET=NAME fuzz/target/.../fuzz FILE repeats it.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-10}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^    ("\([a-z0-9]*\)",.*/\1/p' fuzz/src/main.rs)

# Coverage as libFuzzer wants it, which stable Rust can give. The flags are for what runs on the target only, and so
# a target has to be named.
host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --manifest-path fuzz/Cargo.toml --release --target "$host"
program=fuzz/target/$host/release/fuzz

failed=()
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=$(mktemp)
    seeds=()
    [ ! -d "fuzz/seeds/$target" ] || seeds=("fuzz/seeds/$target")
    if FUZZ_TARGET=$target RUST_BACKTRACE=0 "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
        -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target" "${seeds[@]}" >"$log" 2>&1; then
        echo "fuzz $target: nothing found, $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\) second.*/\1 runs in \2 s/p' "$log")"
    else
        failed+=("$target")
        tail -n 40 "$log"
    fi
    rm -f "$log"
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: something was found in: ${failed[*]}"; exit 1; }
