#!/bin/sh
# Starts what is installed. A copy of it in /opt/covey is what the service runs: no version brings its own, so a bad one cannot
# keep the device from going back to the one before.
#   start.sh agent|manager        becomes that program (exec), with the flags in /etc/covey/ROLE.flags, one word a line
#   start.sh keep agent|manager   starts it again whenever it ends, where no systemd does
#   start.sh watch agent|manager  waits until a version on trial has reached a manager, or goes back
#
# In /opt/covey, changed only by a rename, so that a power cut at any moment leaves a program that starts:
#   versions/NAME   programs side by side
#   current         a link to the one that runs
#   next            NEW SECONDS, a version that `upgrade.sh` has made ready, brought in at the next start
#   trial           NEW OLD SECONDS STARTS, while a new version has yet to reach a manager
#   returned        the version that was tried last and did not
set -eu

# A version that ends so often before it has reached a manager never will; reboots during its trial count as well.
MAX_STARTS=6
# Between two starts of a program that ended.
PAUSE_SECONDS=5
# With this code one ends that is well and wants to be started again (api/parent.ts).
START_AGAIN=75

base=/opt/covey settings=/etc/covey state=/var/lib/covey
say() { echo "covey: $*" >&2; }

runs() { [ -n "$1" ] && "$base/versions/$1/bin/deno" --version >/dev/null 2>&1; }
present() { name=$(readlink "$base/current" 2>/dev/null) && echo "${name##*/}" || :; }
# put NAME TEXT: writes a file of base as a whole.
put() {
  echo "$2" >"$base/$1.part"
  sync
  mv -f "$base/$1.part" "$base/$1"
  sync
}
switch_to() {
  rm -f "$base/current.part"
  ln -s "versions/$1" "$base/current.part"
  mv -fT "$base/current.part" "$base/current"
  sync
}
# Sets new, old, seconds and starts to those of the trial; fails without one, and forgets one that power was cut before or after.
on_trial() {
  read -r new old seconds starts 2>/dev/null <"$base/trial" || return 1
  [ "$new" = "$(present)" ] || { rm -f "$base/trial"; return 1; }
}
go_back() {
  say "going back from version $new to $old: $1"
  put returned "$new"
  switch_to "$old"
  rm -f "$base/trial"
}
restart() {
  if [ -d /run/systemd/system ]; then systemctl restart --no-block "covey-$role"
  else "/etc/init.d/covey-$role" restart; fi
}

watch() {
  reached=$state/reached
  [ "$role" = agent ] || reached=$state/agent/reached
  # Counted, not looked up: a device's clock jumps.
  waited=0
  while on_trial; do
    if [ "$(cat "$reached" 2>/dev/null)" = "$new" ]; then
      say "version $new has reached a manager and stays"
      rm -f "$base/trial"
      return
    fi
    if [ "$waited" -ge "$seconds" ]; then
      go_back "it has not reached a manager in time"
      restart
      return
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

keep() {
  child='' ending=''
  trap 'ending=yes; [ -z "$child" ] || kill "$child" 2>/dev/null || :' TERM INT
  while :; do
    "$0" "$role" &
    child=$!
    # A signal ends the first wait, the second is for the program.
    code=0
    wait "$child" || code=$?
    [ -z "$ending" ] || { wait "$child" || :; exit 0; }
    [ ! -e "$base/next" ] && [ "$code" != "$START_AGAIN" ] || continue
    sleep "$PAUSE_SECONDS" &
    child=$!
    wait "$child" || :
    [ -z "$ending" ] || exit 0
  done
}

# Brings in what is ready. The trial comes first, and `next` goes last: whenever power is cut, it is begun anew or done.
bring_in() {
  read -r new seconds 2>/dev/null <"$base/next" || return 0
  old=$(present)
  if [ "$new" != "$old" ] && [ -d "$base/versions/$new" ]; then
    rm -f "$state/reached"
    put trial "$new $old $seconds 0"
    switch_to "$new"
  fi
  rm -f "$base/next"
}

become() {
  bring_in
  if on_trial; then
    if ! runs "$new"; then go_back "it does not run on this device"
    elif [ "$starts" -ge $MAX_STARTS ]; then go_back "it has ended $starts times"
    else
      put trial "$new $old $seconds $((starts + 1))"
      # A session of its own: what ends the program's is not to end it.
      setsid "$0" watch "$role" </dev/null &
    fi
  fi
  name=$(present)
  if ! runs "$name"; then
    say "version ${name:-(none)} does not run; looking for another"
    for folder in "$base"/versions/*; do
      name=${folder##*/}
      case $name in *.part) continue ;; esac
      if runs "$name"; then switch_to "$name"; break; fi
    done
  fi
  program=$base/versions/$name
  set --
  while IFS= read -r word || [ -n "$word" ]; do set -- "$@" "$word"; done <"$settings/$role.flags"
  set -- "$@" --state-dir "$state"
  # A node that has joined needs no token; one that lies around is a risk.
  if [ -e "$settings/token" ]; then
    if [ -e "$state/certificates/swarm-node.crt" ]; then rm -f "$settings/token"; else set -- "$@" --token-file "$settings/token"; fi
  fi
  # Whoever runs this starts an agent again when it ends, and may so be asked to by the agent.
  [ "$role" != agent ] || export COVEY_KEPT=yes
  export COVEY_DENO="$program/bin/deno" DENO_DIR="$program/cache" DENO_NO_UPDATE_CHECK=1 NO_COLOR=1
  cd /
  exec "$program/$role/launch.sh" "$@"
}

action=${1-} role=${2-${1-}}
case $role in agent | manager) ;; *) say "usage: start.sh [keep|watch] agent|manager"; exit 2 ;; esac
case $action in keep) keep ;; watch) watch ;; *) become ;; esac
