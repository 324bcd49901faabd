#!/usr/bin/env bash
# The address that this machine has Debian's main packages from, as apt itself knows it.
set -euo pipefail
. /etc/os-release
apt-get indextargets --format '$(SITE)' "Codename: $VERSION_CODENAME" 'Component: main' | sort -u | head -1
