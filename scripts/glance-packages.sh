#!/bin/bash
# A Glance API server, and what speaks to it. Nothing of it is started as a service.
set -eu
cd "$(dirname "$0")"
./system-packages.sh glance-api:glance-api glance-manage:glance-api curl:curl python3:python3-minimal
