#!/usr/bin/env bash
# Makes this machine a controller: Debian packages that are missing, and the virtual environment from the lock.
# A second run finds everything in place and only looks.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
python=/usr/bin/python3
lock=requirements.txt
packages=(aardvark-dns ca-certificates crun iptables mmdebstrap netavark openssh-client podman postgresql python3-venv redis-tools)
# crun refuses a cgroup tree whose memory controller is still v1; runc takes it.
[ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] && packages+=(runc)

# uv trusts a list of its own unless told to trust what the machine trusts: a company's own authority, for one.
export UV_SYSTEM_CERTS=1

say() { printf '  %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "ERROR: this needs root for: $*" >&2
        say "Install sudo, or run make as root." >&2
        return 1
    fi
}

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" in
            installed) ;;
            *) printf '%s\n' "$package" ;;
        esac
    done
}

packages_from_apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"; }

# The tests of the runtime want PostgreSQL's programs. Debian would make a cluster with them and start it on this machine.
without_a_cluster() {
    [[ " ${missing[*]} " == *" postgresql "* ]] || return 0
    packages_from_apt postgresql-common
    as_root pg_conftool /etc/postgresql-common/createcluster.conf set create_main_cluster off
}

install_packages() {
    local missing log
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -eq 0 ] && return
    log=.cache/apt.log
    say "installing Debian packages: ${missing[*]}"
    if ! { as_root apt-get update && without_a_cluster && packages_from_apt "${missing[@]}"; } </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        say "ERROR: apt failed; the whole of it stands in $log" >&2
        return 1
    fi
}

# One package's lines of the lock, with its hashes.
locked() { awk -v name="$1==" 'index($0, name) == 1 { on = 1; print; next } /^[^[:space:]]/ { on = 0 } on' "$lock"; }

make_environment() {
    if ! "$venv/bin/python" -c '' 2>/dev/null; then
        say "making $venv with $("$python" --version)"
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    if ! "$venv/bin/uv" --version >/dev/null 2>&1; then
        say "installing uv from the lock"
        locked uv >.cache/uv.txt
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .cache/uv.txt
    fi
    say "installing what $lock pins, hashes checked"
    "$venv/bin/uv" pip sync --quiet --python "$venv/bin/python" --require-hashes "$lock"
    # Redis for the tests of the sample project: the server that redis-tools carries under another name. The package
    # redis-server would start a service on this machine.
    ln -sf /usr/bin/redis-check-rdb "$venv/bin/redis-server"
}

mkdir -p .cache
started=$SECONDS
install_packages
stamp=$venv/.made-from
wanted=$({ sha256sum "$lock" "$0"; "$python" --version; pwd; } | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$wanted" ]; then
    make_environment
    printf '%s\n' "$wanted" >"$stamp"
fi
say "controller ready ($((SECONDS - started)) s)"
