#!/usr/bin/env bash
# The peer of comparisons: a real Docker Swarm of one manager, in a network namespace of its own so that port 2377 is free.
#   swarm_peer.sh up   DIR    start it with the tests' images; prints the socket's path
#   swarm_peer.sh again DIR   end it and start it on what it kept
#   swarm_peer.sh down DIR    stop the one started in DIR and remove its namespace
set -euo pipefail
command=${1:?usage: swarm_peer.sh up|again|down DIR} dir=${2:?usage: swarm_peer.sh up|again|down DIR}
support=$(dirname -- "$(readlink -f -- "$0")")
socket=$dir/docker.sock
namespace=covey-peer-$(printf %s "$dir" | cksum | cut -d ' ' -f 1)
address=10.98.0.1

answers() { curl -fs --max-time 2 --unix-socket "$socket" http://docker/_ping >/dev/null 2>&1; }
runs() { kill -0 "$1" 2>/dev/null; }

start() {
  # Not `ip netns exec`: that hides the cgroup mounts that an engine needs.
  # What it is asked for may be without measure: it shall end before it takes the machine's memory.
  setsid nsenter --net="/run/netns/$namespace" prlimit --as=$((6 << 30)) dockerd --data-root "$dir/data" --exec-root "$dir/exec" \
    --pidfile "$dir/pid" -H "unix://$socket" --bridge none --iptables=false --ip-forward=false \
    >>"$dir/log" 2>&1 </dev/null &
  for _ in $(seq 150); do if answers; then break; fi; sleep 0.1; done
  answers || { tail -n 20 "$dir/log" >&2; exit 1; }
}

stop() {
  if [ -f "$dir/pid" ]; then
    pid=$(cat "$dir/pid")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 150); do if runs "$pid"; then sleep 0.1; else break; fi; done
    if runs "$pid"; then kill -KILL "$pid"; fi
  fi
}

case $command in
up)
  mkdir -p "$dir"
  ip netns add "$namespace"
  ip -n "$namespace" link set lo up
  ip -n "$namespace" address add "$address/32" dev lo
  start
  "$support/engine.sh" up "$dir" >/dev/null
  docker -H "unix://$socket" swarm init --advertise-addr "$address" >/dev/null
  echo "$socket"
  ;;
again)
  stop
  start
  ;;
down)
  stop
  # What an engine that was killed leaves mounted keeps its folder from being removed.
  for mounted in $(grep -o " $dir/[^ ]*" /proc/mounts || true); do umount -l "$mounted" 2>/dev/null || true; done
  ip netns delete "$namespace" 2>/dev/null || true
  ;;
*) echo "usage: swarm_peer.sh up|again|down DIR" >&2; exit 2 ;;
esac
