#!/bin/bash
# Installs a Glance API server and its clients. None of them is started as a service.
set -eu
cd "$(dirname "$0")"
./system-packages.sh glance-api:glance-api glance-manage:glance-api curl:curl python3:python3-minimal
