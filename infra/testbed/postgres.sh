#!/bin/bash
# What starts the stand-in for the image of PostgreSQL: as the original does, it makes the cluster
# and the database that POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB say, if there is none yet.
set -euo pipefail
[ "${1:-}" = postgres ] || exec "$@"
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username "$user" --pwfile <(echo "${POSTGRES_PASSWORD:?is not set}") \
        --auth-local trust --auth-host scram-sha-256
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl start --wait --options "-c listen_addresses=''"
    [ "${POSTGRES_DB:-$user}" = postgres ] || createdb --username "$user" "${POSTGRES_DB:-$user}"
    pg_ctl stop --wait --mode fast
fi
exec "$@"
