#!/bin/bash
# A Ceph cluster of one node on the loopback: a monitor, a manager, and one OSD on a file. Everything
# that it writes is in one folder.
#   scripts/ceph.sh start FOLDER none|cephx    starts it with the pool `rbd`; prints nothing
#   scripts/ceph.sh stop-osd FOLDER            stops the OSD: reads and writes then wait
#   scripts/ceph.sh start-osd FOLDER
#   scripts/ceph.sh stop FOLDER                ends the processes that it started, by its pid files
set -eu -o pipefail
PATH="$PATH:/usr/sbin:/sbin"
command=$1
folder=$2
conf="$folder/ceph.conf"
OSD_BYTES=6442450944

as_root=(--setuser root --setgroup root)
# The tools of a cluster without keys must not look for a key.
admin() { "$1" --conf "$conf" --keyring "$folder/keyring" "${@:2}"; }

configure() {
  local port
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  cat >"$conf" <<CONF
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_initial_members = a
mon_host = [v2:127.0.0.1:$port]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
auth_cluster_required = $1
auth_service_required = $1
auth_client_required = $1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
# Otherwise a monitor warns that the disk of a test machine is nearly full.
mon_data_avail_warn = 1
mon_data_avail_crit = 1
# How long the watch of a killed client stays, in seconds; the default is 30.
osd_client_watch_timeout = 10
[mon]
mon_data = $folder/mon
keyring = $folder/keyring
[mgr]
mgr_data = $folder/mgr
mgr_initial_modules =
keyring = $folder/keyring
[osd]
osd_data = $folder/osd
osd_objectstore = bluestore
bluestore_block_size = $OSD_BYTES
bluestore_block_create = true
osd_memory_target = 939524096
keyring = $folder/keyring
[mon.a]
pid_file = $folder/mon.pid
log_file = $folder/mon.log
admin_socket = $folder/mon.asok
[mgr.x]
pid_file = $folder/mgr.pid
log_file = $folder/mgr.log
admin_socket = $folder/mgr.asok
[osd.0]
pid_file = $folder/osd.pid
log_file = $folder/osd.log
admin_socket = $folder/osd.asok
CONF
  ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$folder/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool "$folder/keyring" --gen-key -n mgr.x --cap mon 'allow profile mgr' --cap osd 'allow *'
  ceph-authtool "$folder/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap mgr 'allow profile osd' --cap osd 'allow *'
  monmaptool --create --addv a "[v2:127.0.0.1:$port]" --fsid "$(awk '/^fsid/ { print $3 }' "$conf")" "$folder/monmap" >/dev/null
}

start() {
  mkdir -p "$folder"/{mon,mgr,osd}
  configure "$1"
  ceph-mon --conf "$conf" --mkfs -i a --monmap "$folder/monmap" --keyring "$folder/keyring"
  ceph-mon --conf "$conf" -i a "${as_root[@]}"
  ceph-mgr --conf "$conf" -i x "${as_root[@]}"
  local uuid
  uuid=$(cat /proc/sys/kernel/random/uuid)
  printf '{"cephx_secret": "%s"}' "$(ceph-authtool -p -n osd.0 "$folder/keyring")" >"$folder/osd.json"
  admin ceph osd new "$uuid" -i "$folder/osd.json" >/dev/null
  ceph-osd --conf "$conf" -i 0 --mkfs --osd-uuid "$uuid" "${as_root[@]}" 2>/dev/null
  start_osd
  admin ceph osd pool create rbd 8 8 >/dev/null 2>&1
  admin rbd pool init rbd
}

start_osd() {
  ceph-osd --conf "$conf" -i 0 "${as_root[@]}" >/dev/null 2>&1
}

end() {
  local file="$folder/$1.pid" pid
  [ -s "$file" ] || return 0
  pid=$(cat "$file")
  # Another process may have the pid by now.
  grep -qs "ceph-$1" "/proc/$pid/cmdline" || return 0
  kill -"$2" "$pid"
  while kill -0 "$pid" 2>/dev/null && grep -qs "ceph-$1" "/proc/$pid/cmdline"; do sleep 0.1; done
  rm -f "$file"
}

case $command in
  start) start "$3" ;;
  stop-osd) end osd KILL ;;
  start-osd) start_osd ;;
  stop) for each in mgr osd mon; do end "$each" KILL; done ;;
  *) echo "usage: $0 start|stop|stop-osd|start-osd FOLDER [none|cephx]" >&2; exit 2 ;;
esac
