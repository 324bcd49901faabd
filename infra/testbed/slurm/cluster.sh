#!/usr/bin/env bash
# A Slurm cluster on the engine: two nodes with one home, of which the first lets in who has the key.
#
#   infra/testbed/slurm/cluster.sh start NETWORK ADDRESS1 ADDRESS2 KEY.pub SKYPILOT
#   infra/testbed/slurm/cluster.sh stop
#
# SKYPILOT is the version that they are prepared for. Packages that jobs install are kept in a volume
# and make the next start quick.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
name=coldstart-slurm

start() {
    local network=$1 key=$4 node
    local addresses=("$2" "$3")
    docker build --quiet --build-arg "SKYPILOT=$5" --tag "$name" "$here/node" >/dev/null
    stop
    for node in 1 2; do
        docker run --detach --init --name "$name-$node" --hostname "node$node" --shm-size 1g \
            --network "$network" --network-alias "node$node" --ip "${addresses[node - 1]}" \
            --env "AUTHORIZED_KEY=$(cat "$key")" --volume "$name-home:/home/me" \
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
}

case ${1:-} in
start) start "${@:2}" ;;
stop) stop ;;
*) echo "use: cluster.sh start NETWORK ADDRESS1 ADDRESS2 KEY.pub SKYPILOT, or cluster.sh stop" >&2; exit 1 ;;
esac
