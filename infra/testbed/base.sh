#!/usr/bin/env bash
# A stand-in for the base image of the projects' Dockerfile, where no container registry is reached:
# Debian by debootstrap, and this machine's CPython in /usr/local, as in the image it stands for.
# pip and the certificates are set up as on this machine, so `pip install` works in a build.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
python=$(command -v python3.11) || { echo "error: python3.11 is missing" >&2; exit 1; }
image=python:3.11-slim
docker image inspect "$image" >/dev/null 2>&1 && exit

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
. /etc/os-release
# What CPython's own extension modules are linked with.
libraries=ca-certificates,netbase,tzdata,libbz2-1.0,libffi8,liblzma5
libraries+=,libncursesw6,libreadline8,libsqlite3-0,libssl3,libuuid1,zlib1g
echo "making $image"
debootstrap --variant=minbase --include="$libraries" "$VERSION_CODENAME" "$root" "$("$here/mirror.sh")" >"$root.log" ||
    { tail -5 "$root.log" >&2; exit 1; }
rm -rf "$root.log" "$root"/var/{cache/apt,lib/apt/lists,log}/* "$root"/usr/share/{doc,man,locale}/*

prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
tar -C "$prefix" --create --exclude=__pycache__ --exclude=site-packages --exclude=test --exclude='*.a' \
    bin/python3.11 include lib | tar -C "$root/usr/local" --extract
ln -s python3.11 "$root/usr/local/bin/python3"
ln -s python3 "$root/usr/local/bin/python"

trusted=/etc/ssl/certs/ca-certificates.crt
cp -L "${SSL_CERT_FILE:-$trusted}" "$root$trusted"
{
    printf '[global]\ncert = %s\ndisable-pip-version-check = 1\nroot-user-action = ignore\n' "$trusted"
    for option in index-url find-links; do
        value=$("$python" -m pip config get "global.$option" 2>/dev/null) || continue
        echo "$option = $value"
        # Folders of wheels for this Python come along, at the same place.
        [ "$option" = find-links ] || continue
        for folder in $value; do
            [ -d "$folder" ] && mkdir -p "$root$folder" && cp "$folder"/*cp311*.whl "$root$folder"
        done
    done
} >"$root/etc/pip.conf"

chroot "$root" sh -c 'ldconfig && python3 -m ensurepip --default-pip && rm -rf /root/.cache' >/dev/null 2>&1
tar -C "$root" --create . | docker import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8' \
    --change "ENV SSL_CERT_FILE=$trusted" --change 'CMD ["python3"]' - "$image" >/dev/null
