#!/usr/bin/env bash
# Stand-ins for the base images of the Dockerfiles, where no container registry is reached: Debian by
# debootstrap, and this machine's CPythons in /usr/local, as in the images they stand for.
# pip and the certificates are set up as on this machine, so `pip install` works in a build.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

# Print the path of an interpreter: one that runs by its name, or one of pyenv's.
interpreter() {
    local found
    for found in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
        "$found" --version >/dev/null 2>&1 && echo "$found" && return
    done
    return 1
}

has() { docker image inspect "$1" >/dev/null 2>&1; }

if has python:3.11-slim && has python:3.13-slim; then exit; fi
interpreter 3.11 >/dev/null || { echo "error: python3.11 is missing" >&2; exit 1; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
. /etc/os-release
# What CPython's own extension modules are linked with.
libraries=ca-certificates,netbase,tzdata,libbz2-1.0,libffi8,liblzma5
libraries+=,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g
echo "making python:3.11-slim and python:3.13-slim"
debootstrap --variant=minbase --include="$libraries" "$VERSION_CODENAME" "$root" "$("$here/mirror.sh")" >"$root.log" ||
    { tail -5 "$root.log" >&2; exit 1; }
rm -rf "$root.log" "$root"/var/{cache/apt,lib/apt/lists,log}/* "$root"/usr/share/{doc,man,locale}/*

trusted=/etc/ssl/certs/ca-certificates.crt
cp -L "${SSL_CERT_FILE:-$trusted}" "$root$trusted"
{
    printf '[global]\ncert = %s\ndisable-pip-version-check = 1\nroot-user-action = ignore\n' "$trusted"
    for option in index-url find-links; do
        value=$("$(interpreter 3.11)" -m pip config get "global.$option" 2>/dev/null) || continue
        echo "$option = $value"
        # Folders of wheels come along, at the same place.
        [ "$option" = find-links ] || continue
        for folder in $value; do
            [ -d "$folder" ] && mkdir -p "$root$folder" && cp "$folder"/*.whl "$root$folder"
        done
    done
} >"$root/etc/pip.conf"

# Where no 3.13 is installed, its image holds 3.11.
for version in 3.11 3.13; do
    image=python:$version-slim
    if ! python=$(interpreter $version); then
        echo "no python$version is installed: $image holds Python 3.11"
        docker tag python:3.11-slim $image
        continue
    fi
    rm -rf "$root"/usr/local/{bin,include,lib}/*
    prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    tar -C "$prefix" --create --exclude=__pycache__ --exclude=site-packages --exclude=test --exclude='*.a' \
        "bin/python$version" include lib | tar -C "$root/usr/local" --extract
    ln -s "python$version" "$root/usr/local/bin/python3"
    ln -s python3 "$root/usr/local/bin/python"
    chroot "$root" sh -c 'ldconfig && python3 -m ensurepip --default-pip && rm -rf /root/.cache' >/dev/null 2>&1
    has "$image" || tar -C "$root" --create . | docker import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
        --change "ENV SSL_CERT_FILE=$trusted" --change 'CMD ["python3"]' - "$image" >/dev/null
done
