#!/usr/bin/env bash
# A private Docker Engine with a local image, for tests: nothing is pulled, the image is made of busybox.
#   engine.sh up   DIR    start it and import busybox:local; prints the socket's path
#   engine.sh down DIR    stop the one started in DIR
set -euo pipefail
command=${1:?usage: engine.sh up|down DIR} dir=${2:?usage: engine.sh up|down DIR}
socket=$dir/docker.sock

answers() { curl -fs --max-time 2 --unix-socket "$socket" http://docker/_ping >/dev/null 2>&1; }

import_image() {
  local root applet
  root=$(mktemp -d)
  mkdir -p "$root"/{bin,etc,tmp,proc,sys,dev}
  cp /bin/busybox "$root/bin/busybox"
  for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
  tar -C "$root" -c . | docker -H "unix://$socket" import - busybox:local >/dev/null
  rm -rf "$root"
  docker -H "unix://$socket" tag busybox:local busybox:next
}

case $command in
up)
  mkdir -p "$dir"
  if ! answers; then
    setsid dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
      -H "unix://$socket" >"$dir/log" 2>&1 </dev/null &
  fi
  for _ in $(seq 150); do if answers; then break; fi; sleep 0.2; done
  answers || { tail -n 20 "$dir/log" >&2; exit 1; }
  docker -H "unix://$socket" image inspect busybox:next >/dev/null 2>&1 || import_image
  echo "$socket"
  ;;
down)
  if [ -f "$dir/pid" ]; then kill "$(cat "$dir/pid")"; fi
  ;;
*) echo "usage: engine.sh up|down DIR" >&2; exit 2 ;;
esac
