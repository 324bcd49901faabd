#!/usr/bin/env bash
# A Docker engine for the tests, on a Debian machine that has none and reaches no container registry.
#
#   eval "$(infra/testbed/engine.sh start)"    install what is missing, start it, make the base image
#   infra/testbed/engine.sh stop
#
# It has a socket, a folder and a bridge of its own, so an engine that runs already is left alone.
# What it made is kept in that folder ($TESTBED) and makes the next start quick.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
home=${TESTBED:-${XDG_CACHE_HOME:-~/.cache}/coldstart-testbed}
run=$home/run
bridge=coldstart0
export DOCKER_HOST=unix://$run/docker.sock DOCKER_CONFIG=$home/config

fail() { echo "error: $*" >&2; exit 1; }
answers() { docker version >/dev/null 2>&1; }

install_packages() {
    local program missing=
    for program in dockerd debootstrap iptables ip docker; do
        command -v $program >/dev/null || missing=$program
    done
    [ -z "$missing" ] && return
    command -v apt-get >/dev/null || fail "$missing is missing, and there is no apt-get to install it"
    apt-get update -qq
    # RUNLEVEL=1 keeps the package from starting an engine by itself.
    RUNLEVEL=1 apt-get install -y -qq --no-install-recommends docker.io debootstrap iptables iproute2 >/dev/null
}

# Debian 12 has neither buildx nor compose v2; they are programs that the next release's run here.
install_plugins() {
    local folder=$DOCKER_CONFIG/cli-plugins mirror
    [ -x "$folder/docker-compose" ] && return
    mkdir -p "$folder" "$run/apt/lists/partial"
    mirror=$("$here/mirror.sh")
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$run/apt/sources.list"
    (
        cd "$run/apt"
        options=(-qq -o "Dir::Etc::SourceList=$run/apt/sources.list" -o Dir::Etc::SourceParts=-
            -o "Dir::State::Lists=$run/apt/lists" -o APT::Sandbox::User=root)
        apt-get "${options[@]}" update
        apt-get "${options[@]}" download docker-buildx docker-compose
        for package in *.deb; do dpkg --extract "$package" unpacked; done
        install unpacked/usr/libexec/docker/cli-plugins/docker-{buildx,compose} "$folder"
    )
    rm -r "$run/apt"
}

start() {
    mkdir -p "$run" "$DOCKER_CONFIG"
    install_packages
    if ! answers; then
        [ "$(id -u)" = 0 ] || fail "an engine can be started by root alone"
        ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
        ip address replace 172.31.250.1/24 dev "$bridge"
        ip link set "$bridge" up
        rm -f "$run/pid"
        # An installer asks for many names at once; of answers that are lost, another try is soon made.
        setsid nohup dockerd --host "$DOCKER_HOST" --data-root "$home/data" --exec-root "$run/exec" \
            --pidfile "$run/pid" --bridge "$bridge" --dns-opt timeout:1 --dns-opt attempts:9 \
            >"$home/dockerd.log" 2>&1 </dev/null &
        for _ in $(seq 100); do answers && break; sleep 0.3; done
        answers || fail "dockerd did not start: $(grep -E 'level=(fatal|error)|^failed' "$home/dockerd.log" | tail -1)"
        # What a run that was cut short has left would be counted by the next one.
        docker container prune --force >/dev/null
    fi
    install_plugins
    "$here/base.sh"
}

stop() {
    local pid
    pid=$(cat "$run/pid" 2>/dev/null || true)
    # A file that a crash left behind may name what is another program by now.
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]; then
        # Enough for the next builds to be quick, and no more with every run.
        docker builder prune --force --keep-storage 3gb >/dev/null 2>&1 || true
        kill "$pid"
        for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
    fi
    umount "$run/exec/netns/default" 2>/dev/null || true
    ip link delete "$bridge" 2>/dev/null || true
}

case ${1:-} in
start)
    start >&2
    echo "export DOCKER_HOST=$DOCKER_HOST DOCKER_CONFIG=$DOCKER_CONFIG"
    ;;
stop) stop ;;
*) fail "use: engine.sh start, or engine.sh stop" ;;
esac
