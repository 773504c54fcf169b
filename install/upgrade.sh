#!/bin/sh
# What a task of `covey agent upgrade` runs, as root: brings in another version, and goes on for as long as the device has it.
# The agent cannot write its own program; a task can, from a file of whose sum its service is sure.
#   upgrade.sh                                   waits: nothing was asked for yet
#   upgrade.sh VERSION SECONDS ATTEMPT BUNDLE    has SECONDS to reach a manager with VERSION, which is in the file BUNDLE
# Ends with 3 where the device went back to the version before, 4 where VERSION could not be made ready. Each attempt is one:
# a restart of this task, or of the device, does not try again what was taken back.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
RETURNED=3 FAILED=4

base=/opt/covey
say() { echo "covey: $*"; }
present() { name=$(readlink "$base/current" 2>/dev/null) && echo "${name##*/}" || :; }
put() {
  echo "$2" >"$base/$1.part"
  sync
  mv -f "$base/$1.part" "$base/$1"
  sync
}
# A program of its own that does nothing takes the least memory. It ends with a signal, and not otherwise.
stay() { exec sleep 2147483647; }

[ $# -gt 0 ] || stay
version=$1 seconds=$2 attempt=$3 bundle=$4

if [ "$(present)" != "$version" ] && [ "$(cat "$base/tried" 2>/dev/null)" != "$version $attempt" ]; then
  # The new version knows best how it is put in place.
  tar -xzOf "$bundle" covey/install.sh >install.sh || { say "$bundle is no bundle"; exit $FAILED; }
  sh install.sh --prepare --from "$PWD/$bundle" || exit $FAILED
  if [ ! -d "$base/versions/$version" ]; then say "$bundle does not hold version $version"; exit $FAILED; fi
  rm -f install.sh "$base/returned"
  for folder in "$base"/versions/*; do
    case ${folder##*/} in "$version" | "$(present)") ;; *) rm -rf "$folder" ;; esac
  done
  # From here on it is the service's: what this task's program starts would end with the task.
  put next "$version $seconds"
  put tried "$version $attempt"
  agent=$("$base/current/agent/launch.sh" --state-dir /var/lib/covey --print-running)
  [ -z "$agent" ] || kill "$agent"
fi

while [ -e "$base/next" ] || [ -e "$base/trial" ]; do sleep 1; done
if [ "$(present)" = "$version" ]; then
  # No version replaces this file while it is on trial.
  if ! cmp -s "$base/start.sh" "$base/versions/$version/start.sh"; then
    cp "$base/versions/$version/start.sh" "$base/start.sh.part"
    chmod 755 "$base/start.sh.part"
    sync
    mv -f "$base/start.sh.part" "$base/start.sh"
  fi
  say "version $version runs here"
  stay
fi
say "version $version did not reach a manager within $seconds s; the device is back at $(present)"
exit $RETURNED
