#!/bin/bash
# A Glance API server on the loopback, without Keystone. Its database, images and configuration are
# in one folder.
#   scripts/glance.sh start FOLDER    starts it and prints its URL; a request with `X-Roles: admin` is that of an administrator
#   scripts/glance.sh stop FOLDER     ends the process that it started, by its pid file
set -eu -o pipefail
command=$1
folder=$2
conf="$folder/glance-api.conf"
START_SECONDS=60

configure() {
  mkdir -p "$folder"/{images,staging,tasks,lock}
  cat >"$conf" <<CONF
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $1
workers = 0
enabled_backends = file:file
use_stderr = false
log_file = $folder/api.log
[database]
connection = sqlite:///$folder/glance.sqlite
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $folder/images
[os_glance_staging_store]
filesystem_store_datadir = $folder/staging
[os_glance_tasks_store]
filesystem_store_datadir = $folder/tasks
[oslo_concurrency]
lock_path = $folder/lock
# Without a flavor there is no authentication: the request names its own roles.
[paste_deploy]
config_file = /etc/glance/glance-api-paste.ini
CONF
}

running() { [ -s "$folder/pid" ] && grep -qs glance-api "/proc/$(cat "$folder/pid")/cmdline"; }

start() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  configure "$port"
  glance-manage --config-file "$conf" db_sync >"$folder/db.log" 2>&1 || { cat "$folder/db.log" >&2; exit 1; }
  # Only this file: the machine may have a Glance of its own.
  glance-api --config-file "$conf" </dev/null >"$folder/out.log" 2>&1 &
  echo $! >"$folder/pid"
  for ((tries = 0; tries < START_SECONDS * 5; tries++)); do
    if curl -sf -o /dev/null -H 'X-Roles: admin' "http://127.0.0.1:$port/v2/images"; then
      echo "http://127.0.0.1:$port"
      return
    fi
    running || break
    sleep 0.2
  done
  cat "$folder/out.log" "$folder/api.log" >&2
  stop
  exit 1
}

stop() {
  running || return 0
  kill -KILL "$(cat "$folder/pid")"
  while running; do sleep 0.1; done
  rm -f "$folder/pid"
}

case $command in
  start) start ;;
  stop) stop ;;
  *) echo "usage: $0 start|stop FOLDER" >&2; exit 2 ;;
esac
