#!/usr/bin/env bash
# A Slurm cluster on the engine: two nodes with one home, of which the first lets in who has the key.
#
#   infra/testbed/slurm/cluster.sh start KEY.pub SKYPILOT    of the version that they are prepared for
#   infra/testbed/slurm/cluster.sh stop
#
# The nodes are 172.28.0.2 and .3, this computer is 172.28.0.1 to them. Packages that jobs install are
# kept in a volume, and make the next start quick.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
name=coldstart-slurm

start() {
    local key=$1 node
    docker build --quiet --build-arg "SKYPILOT=$2" --tag "$name" "$here/node" >/dev/null
    stop
    docker network create --subnet 172.28.0.0/24 --gateway 172.28.0.1 "$name" >/dev/null
    for node in 1 2; do
        docker run --detach --init --name "$name-$node" --hostname "node$node" --shm-size 1g \
            --network "$name" --network-alias "node$node" --ip "172.28.0.$((node + 1))" \
            --env "AUTHORIZED_KEY=$(cat "$key")" --tmpfs /tmp:exec,mode=1777 --volume "$name-home:/home/me" \
            --volume "$name-packages:/tmp/uv_cache_1000" "$name" >/dev/null
    done
    for _ in $(seq 100); do
        [ "$(docker exec "$name-1" sinfo --noheader --states idle --format %D 2>/dev/null)" = 2 ] && return
        sleep 0.3
    done
    echo "error: the nodes do not come up: $(docker logs "$name-1" 2>&1 | tail -3)" >&2
    exit 1
}

stop() {
    docker rm --force --volumes "$name-1" "$name-2" >/dev/null 2>&1 || true
    docker volume rm --force "$name-home" >/dev/null
    docker network rm "$name" >/dev/null 2>&1 || true
}

case ${1:-} in
start) start "${@:2}" ;;
stop) stop ;;
*) echo "use: cluster.sh start KEY.pub SKYPILOT, or cluster.sh stop" >&2; exit 1 ;;
esac
