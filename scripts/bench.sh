#!/bin/sh
# Measures target/release/adaptable. BENCH_JSON=1 prints a document, BENCH_DOCKER=1 starts a Docker engine where none answers,
# BENCH_ONLY=platform, =databases or =proxy measures one part.
set -eu
cd "$(dirname "$0")/.."

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# What the edge is measured beside, and the clients. The bench starts its own; the system's services stay off.
missing=""
for package in nginx haproxy wrk nghttp2-client openssl; do
    case "$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)" in
        *" installed") ;;
        *) missing="$missing $package" ;;
    esac
done
if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "bench: install these by hand, there is no apt-get here:$missing" >&2
        exit 1
    fi
    echo "bench: installing$missing"
    policy=/usr/sbin/policy-rc.d
    made=""
    if [ ! -e "$policy" ]; then
        # Debian's way to say that an installation starts no service.
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        made=$policy
        trap 'as_root rm -f "$made"' EXIT
    fi
    # shellcheck disable=SC2086 # a list of words
    install="env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $missing"
    # shellcheck disable=SC2086 # a command line
    as_root $install || { as_root apt-get update --quiet && as_root $install; }
    for service in nginx haproxy; do
        case "$missing" in
            *"$service"*) if command -v systemctl >/dev/null 2>&1; then as_root systemctl disable --quiet "$service" || true; fi ;;
        esac
    done
    if [ -n "$made" ]; then
        as_root rm -f "$made"
        trap - EXIT
    fi
fi

${CARGO:-cargo} build --quiet --release --package bench
if [ "$(id -u)" -eq 0 ]; then
    exec target/release/bench "$@"
fi
exec sudo --preserve-env=BENCH_JSON,BENCH_DOCKER,BENCH_ONLY target/release/bench "$@"
