#!/bin/bash
# A daemon for the tests of the client libraries. It prints a line of JSON with what a test needs, and
# ends when its standard input ends.
#   clients/testing/daemon.sh FOLDER
# FOLDER is empty or missing. It gets:
#   images/        the root
#   s.sock         the daemon's Unix socket; its caller has the role admin
#   pki/           ca.pem; client.pem and client.key of a caller with the role operator; viewer.pem
#                  and viewer.key of one that may only look; other/ca.pem of an authority that nobody
#                  trusts; stranger.pem and stranger.key of a caller without a role
#   audit.log      the daemon's audit log
#   www/           what http://127.0.0.1:WWW/ serves
# The line: {"folder", "root", "socket", "tls", "wrong_name", "www"}; tls is HOST:PORT with mutual TLS,
# and wrong_name another host and port whose certificate has the name of somebody else.
# A line `kill` on standard input ends the daemon with SIGKILL and starts it again; `stop` ends it
# with SIGTERM, `start` starts it again. Each answers `ok` when that is done.
set -eu -o pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
hostler=$here/bin/hostler
mkdir -p "$folder/images" "$folder/www"
cd "$folder"
{
  "$hostler" cert init pki
  "$hostler" cert issue pki server --kind server --ip 127.0.0.1
  "$hostler" cert issue pki misnamed --kind server --dns elsewhere.example
  "$hostler" cert issue pki client --kind client --uri spiffe://example.org/scheduler
  "$hostler" cert issue pki viewer --kind client --uri spiffe://example.org/viewer
  "$hostler" cert issue pki stranger --kind client --uri spiffe://example.org/stranger
  "$hostler" cert init pki/other
  "$hostler" cert issue pki/other foreign --kind client --uri spiffe://example.org/scheduler
} >setup.log
read -r tls wrong www < <(
  python3 -c 'import socket
sockets = [socket.socket() for _ in range(3)]
for each in sockets: each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))'
)
config() { # NAME PORT CERTIFICATE ROOT
  mkdir -p "$4"
  cat >"$1.toml" <<TOML
state_dir = "$folder/$1-state"
instances_path = "$4"
[server]
http = ""
listen = ["unix://$folder/$1.sock", "tcp://127.0.0.1:$2"]
[tls]
ca = "$folder/pki/ca.pem"
cert = "$folder/pki/$3.pem"
key = "$folder/pki/$3.key"
[[callers]]
name = "uri:spiffe://example.org/scheduler"
role = "operator"
[[callers]]
name = "uri:spiffe://example.org/viewer"
role = "viewer"
[[roots]]
path = "$4"
[audit]
file = "$folder/audit.log"
TOML
}
config s "$tls" server "$folder/images"
config misnamed "$wrong" misnamed "$folder/others"
declare -A pid
start() { # NAME
  # Its parent ends with its standard input, whatever happens to it.
  setpriv --pdeathsig TERM "$here/bin/hostlerd" --config "$1.toml" >>"$1.log" 2>&1 </dev/null &
  pid[$1]=$!
  until "$hostler" --address "unix://$folder/$1.sock" host arch x86_64 >/dev/null 2>&1; do
    kill -0 "${pid[$1]}" || { tail -n 5 "$1.log" >&2; exit 1; }
    sleep 0.1
  done
}
finish() { # NAME SIGNAL
  kill "-$2" "${pid[$1]}" 2>/dev/null || true
  wait "${pid[$1]}" || true
}
web=
clean() {
  for name in "${!pid[@]}"; do finish "$name" TERM; done
  if [ -n "$web" ]; then kill "$web" 2>/dev/null || true; fi
}
trap clean EXIT
python3 -m http.server "$www" --bind 127.0.0.1 --directory www >www.log 2>&1 </dev/null &
web=$!
start misnamed
start s
printf '{"folder":"%s","root":"%s","socket":"unix://%s","tls":"127.0.0.1:%s","wrong_name":"127.0.0.1:%s","www":%s}\n' \
  "$folder" "$folder/images" "$folder/s.sock" "$tls" "$wrong" "$www"
while read -r order; do
  case $order in
    kill) finish s KILL && start s ;;
    stop) finish s TERM ;;
    start) start s ;;
    *) echo "unknown: $order" >&2 && exit 2 ;;
  esac
  echo ok
done
