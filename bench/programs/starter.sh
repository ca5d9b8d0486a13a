#!/bin/bash
# Runs programs one after another from a small process, which a fork costs little. Reads, each with
# a NUL behind it, how many words there are and then the words; writes the exit code and the
# processor time in seconds of all that ran until now, as `times` prints it.
while IFS= read -r -d '' count; do
  words=()
  for ((n = 0; n < count; n++)); do
    IFS= read -r -d '' word
    words+=("$word")
  done
  "${words[@]}" </dev/null >/dev/null && code=0 || code=$?
  echo "$code"
  times
done
