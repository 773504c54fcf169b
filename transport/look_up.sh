#!/bin/sh
# Prints the IPv4 addresses of the host named $1, one a line, best first. The sandbox of a running manager names hosts one by one, so
# it cannot look up a name that it first hears of through its API (docs/decisions/0041).
set -eu
case ${1:-} in '' | -* | .* | *..* | *[!0-9A-Za-z._-]*) exit 64 ;; esac
if command -v getent >/dev/null; then getent ahostsv4 "$1" | awk '!seen[$1]++ { print $1 }'
else nslookup "$1" | awk '/^Name:/ { found = 1 } found && /^Address/ && $NF !~ /:/ { print $NF }'; fi
