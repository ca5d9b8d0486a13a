#!/bin/bash
# Waits until a run of contained.sh in RUN_FOLDER has ended. Then it ends the processes that are left
# of the run, and removes its loop devices, mounts and files.
set -u
flock "$RUN_FOLDER/lock" true
PATH="$PATH:/usr/sbin:/sbin"

# Its processes: they have the folder's name in their environment or in their arguments.
processes() {
  local each
  for each in /proc/[0-9]*; do
    if grep -qzxsF "HOSTLER_RUN=$RUN_FOLDER" "$each/environ" || grep -qasF "$RUN_FOLDER/" "$each/cmdline"; then
      echo "${each#/proc/}"
    fi
  done
}
for ((tries = 0; tries < 50; tries++)); do
  mapfile -t left < <(processes)
  [ ${#left[@]} -eq 0 ] && break
  kill -KILL "${left[@]}" 2>/dev/null
  sleep 0.1
done

awk -v folder="$RUN_FOLDER/" 'index($5, folder) == 1 { print $5 }' /proc/self/mountinfo | tac |
  while read -r mounted; do umount --lazy "$mounted"; done
# Its loop devices: their files are in the folder, or on another loop device of the run. The path of
# such a file does not help: its mount has gone.
own=" "
losetup --list --noheadings --output NAME,MAJ:MIN,BACK-MAJ:MIN,BACK-INO 2>/dev/null | sort --version-sort |
  while read -r device number disk inode; do
    if [[ $own == *" $disk "* ]] ||
      { [ "$disk" = "$(stat -c %Hd:%Ld "$RUN_FOLDER")" ] && [ -n "$(find "$RUN_FOLDER" -xdev -inum "$inode" -print -quit)" ]; }; then
      own+="$number "
      losetup --detach "$device"
    fi
  done
# Namespaces that are ending may still hold a mount.
for ((tries = 0; tries < 50; tries++)); do
  rm -rf "$RUN_FOLDER" 2>/dev/null && exit 0
  sleep 0.1
done
rm -rf "$RUN_FOLDER"
