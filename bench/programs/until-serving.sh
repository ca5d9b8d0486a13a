#!/bin/bash
# Starts a daemon, ends as soon as it prints SERVING, and asks it to stop then. Its process id is in
# the file that the first argument names.
file=$1
shift
exec 3< <(exec "$@" 2>&1)
echo $! >"$file"
while IFS= read -r line <&3; do
  if [[ $line == *'"SERVING"'* ]]; then
    kill "$(<"$file")"
    exit 0
  fi
done
exit 1
