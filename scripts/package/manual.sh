#!/bin/bash
# Prints a manual page with the program's own help in it: hostlerd(8) or hostler-conformance(1).
#   scripts/package/manual.sh daemon | conformance
set -eu -o pipefail
cd "$(dirname "$0")/../.."
version=$(bin/hostlerd --version)
version=${version#* }
# Signs that mean something to roff.
plain() { sed 's/\\/\\e/g; s/-/\\-/g; s/^\([.'"'"']\)/\\\&\1/'; }
case $1 in
  daemon)
    cat <<ROFF
.TH HOSTLERD 8 "" "hostlerd $version" "Hostler"
.SH NAME
hostlerd \- serves the disk images of this host over gRPC
.SH SYNOPSIS
.nf
$(bin/hostlerd --help | sed 's/^usage: //' | plain)
.fi
.SH DESCRIPTION
The daemon runs in the foreground and writes one JSON object per line to standard output. It is
ready when it logs SERVING with its addresses. SIGTERM drains and ends it, SIGHUP makes it read
certificates and callers again.
.SH FILES
.TP
.I /etc/hostler/hostler.toml
The configuration. /usr/share/doc/hostler/examples/hostler.example.toml has every key with its
default.
.TP
.I /var/lib/hostler/state
Journal, agent id and cache.
.TP
.I /usr/share/hostler/root.conf
A drop\-in for the unit: a daemon that gives images to other users and reads theirs.
.SH SEE ALSO
.BR hostler (1)
ROFF
    ;;
  conformance)
    cat <<ROFF
.TH HOSTLER\-CONFORMANCE 1 "" "hostler $version" "Hostler"
.SH NAME
hostler\-conformance \- shows whether an agent behaves as its contract says
.SH SYNOPSIS
.nf
$(bin/hostler-conformance --help | plain)
.fi
.SH SEE ALSO
.BR hostler (1),
.BR hostlerd (8)
ROFF
    ;;
esac
