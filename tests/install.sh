#!/usr/bin/env bash
# Installs what the tests need besides Python: MariaDB, nginx, wrk, faketime, systemd-analyze, Docker, Podman, Chromium and
# busybox as packages, and MySQL in a directory tree of Debian sid, because Debian's releases have no MySQL. What is there
# already is left alone. To get a newer MySQL, remove the tree.
set -euo pipefail

tree="${XDG_CACHE_HOME:-$HOME/.cache}/resource-monitor/mysql-sid"
unfinished="$tree.unfinished"
policy=/usr/sbin/policy-rc.d

red() { printf '\033[31m%s\033[0m\n' "$*" >&2; }

# An archive that is being renewed, or a busy mirror, mostly answers the second time.
twice() { "$@" || { sleep 5; "$@"; }; }

has_mysql() { [ -x "$tree/usr/sbin/mysqld" ] && [ -x "$tree/usr/bin/mysqldump" ]; }

missing_packages() {
    # Only the programs: the package mariadb-server would also start a server of its own.
    if [ ! -x /usr/sbin/mariadbd ]; then echo mariadb-server-core; fi
    if [ ! -x /usr/bin/my_print_defaults ]; then echo mariadb-client-core; fi # mariadb-install-db calls it
    if ! command -v mariadb-dump >/dev/null; then echo mariadb-client; fi
    if [ ! -x /usr/sbin/nginx ]; then echo nginx; fi
    if ! command -v wrk >/dev/null; then echo wrk; fi
    if ! command -v faketime >/dev/null; then echo faketime; fi
    if ! command -v systemd-analyze >/dev/null; then echo systemd; fi
    if [ ! -x /usr/sbin/dockerd ]; then echo docker.io; fi
    if ! fc-list :lang=ko 2>/dev/null | grep -q .; then echo fonts-nanum; fi
    if ! command -v podman >/dev/null; then echo podman; fi
    if ! command -v runc >/dev/null; then echo runc; fi
    if ! command -v chromium >/dev/null; then echo chromium; fi
    if ! command -v busybox >/dev/null; then echo busybox-static; fi
    if ! has_mysql && [ ! -x /usr/sbin/debootstrap ]; then echo debootstrap; fi
}

install_packages() {
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null
}

# The tests start what they need: no service of a package must run, neither now nor after the next start of this machine.
install_without_services() {
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    twice install_packages "$@" || return 1
    local service
    for service in nginx docker; do
        case " $* " in *" $service"[\ .]*) update-rc.d "$service" disable >/dev/null ;; esac
    done
}

remove_unfinished() {
    # An interrupted debootstrap leaves these mounted; what stays mounted is not removed.
    umount -q "$unfinished/proc" "$unfinished/sys" "$unfinished/dev" 2>/dev/null || true
    rm -rf --one-file-system "$unfinished"
}

make_tree() {
    remove_unfinished
    debootstrap --variant=minbase --include=mysql-server-core,mysql-client-core sid "$unfinished" >"$tree.log" 2>&1 || return 1
    rm -rf "$unfinished"/var/cache/apt/archives/*.deb
    chmod 1777 "$unfinished/tmp"
    rm -rf --one-file-system "$tree" # one without its client is of an older version of this script
    mv "$unfinished" "$tree"
}

install_mysql() {
    echo "installing MySQL from Debian sid into $tree"
    if ! twice make_tree; then
        tail -n 5 "$tree.log" >&2 || true
        red "MySQL is left out: debootstrap failed twice; the tests run on SQLite and MariaDB only"
    fi
}

main() {
    local packages
    mapfile -t packages < <(missing_packages)
    if [ "${#packages[@]}" -eq 0 ] && has_mysql; then return; fi
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        has_mysql || packages+=(MySQL)
        echo "Only root on Debian can install what the tests need besides Python; left out with their tests: ${packages[*]}"
        return
    fi
    mkdir -p "$(dirname "$tree")"
    exec 9>"$tree.lock"
    flock 9 # another run may be installing
    mapfile -t packages < <(missing_packages)
    if [ "${#packages[@]}" -gt 0 ]; then
        echo "installing ${packages[*]}"
        install_without_services "${packages[@]}" || { red "not installed: ${packages[*]}"; exit 1; }
    fi
    has_mysql || install_mysql
}

main
