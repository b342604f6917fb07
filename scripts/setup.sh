#!/bin/sh
# Installs what building, running and testing the platform needs beyond Rust, gcc and git, on Debian 12 or later.
# Runs again at no cost: what is there is left alone. Needs root or sudo only when something is missing.
set -eu

# To build: libseccomp and how to find it. To run: containers' network, stacks, databases. To test and try: curl, skopeo, umoci, and a
# registry with its users (docker-registry, htpasswd of apache2-utils); to fuzz: g++. To look at pages: a browser that trusts the platform's
# certificates (certutil of libnss3-tools), and fonts.
packages="apache2-utils ca-certificates chromium chromium-driver curl docker-registry fonts-dejavu-core fonts-inter g++ git iproute2
libnss3-tools libseccomp-dev mmdebstrap nftables pkg-config postgresql skopeo tar umoci util-linux"
user=adaptable

missing=""
for package in $packages; do
    case "$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null || true)" in
        *" installed") ;;
        *) missing="$missing $package" ;;
    esac
done

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1; then
        sudo "$@"
    else
        echo "setup: '$*' needs root, and there is no sudo: run this as root" >&2
        exit 1
    fi
}

if [ -n "$missing" ]; then
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "setup: install these by hand, there is no apt-get here:$missing" >&2
        exit 1
    fi
    case "$missing " in
        *" postgresql "*)
            # Each app has a server of its own, with its own files. Debian would make one more and start it, unless this file, which
            # its package reads (pg_createcluster(1)), says otherwise; where it is there, somebody has decided already.
            if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
                as_root mkdir -p /etc/postgresql-common
                printf '%s\n' "create_main_cluster = false" | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
            fi
            ;;
    esac
    echo "setup: installing$missing"
    # The package starts a registry for the whole machine; tests start their own, and nobody else needs it. One that is there already is
    # somebody's, and is not in this list.
    unit=/etc/systemd/system/docker-registry.service
    case " $missing " in
        *" docker-registry "*) [ ! -d "${unit%/*}" ] || [ -e "$unit" ] || as_root ln -s /dev/null "$unit" ;;
    esac
    # The list may be older than the mirror; reading it anew is worth its seconds only when it is needed.
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $missing ||
        { as_root apt-get update --quiet &&
          as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends $missing; }
fi

if ! id "$user" >/dev/null 2>&1; then
    echo "setup: making the system user $user"
    as_root useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
fi

# A server for tests of MongoDB, which Debian does not have.
"$(dirname "$0")/ferretdb.sh" >/dev/null
# To test backups: a server for S3.
"$(dirname "$0")/s3-server.sh"
# To test what is said to GitHub and read of it: GitHub's own words about that.
"$(dirname "$0")/github-descriptions.sh"
# To search pages for barriers.
"$(dirname "$0")/axe.sh"
