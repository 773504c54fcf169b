#!/bin/sh
# Starts a manager with the smallest set of Deno permissions that its flags need, in this very process (exec), so that a service
# manager's signals reach it. COVEY_DENO names the deno program; `deno` on the PATH is the fallback.
#   launch.sh [run-manager flags]             see manager/options.ts
#   launch.sh --print-permissions [flags]     prints the permissions, one a line, and starts nothing
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
deno=${COVEY_DENO:-deno}
state_dir=.covey/manager listen=0.0.0.0:2377 advertise='' api='' docker=/var/run/docker.sock join='' print=no

# The flags are parsed properly by options.ts; here only what decides a permission is looked at.
take=''
for word in "$@"; do
  if [ -n "$take" ]; then eval "$take=\$word"; take=''; continue; fi
  case $word in
    --state-dir) take=state_dir ;; --state-dir=*) state_dir=${word#*=} ;;
    --listen) take=listen ;; --listen=*) listen=${word#*=} ;;
    --advertise) take=advertise ;; --advertise=*) advertise=${word#*=} ;;
    --api) take=api ;; --api=*) api=${word#*=} ;;
    --docker) take=docker ;; --docker=*) docker=${word#*=} ;;
    --join) take=join ;; --join=*) join=${word#*=} ;;
    --print-permissions) print=yes ;;
  esac
done

absolute() { case $1 in /*) printf %s "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac }
# HOST without a port means 2377.
port() {
  case $1 in
    *]:*) printf %s "${1##*:}" ;;
    *:*:*) printf 2377 ;;
    *:*) printf %s "${1##*:}" ;;
    *) printf 2377 ;;
  esac
}

state_dir=$(absolute "$state_dir")
api=$(absolute "${api:-$state_dir/covey.sock}")
docker=${docker#unix://}
mkdir -p "$state_dir" "$(dirname -- "$api")"

# The cluster's port, on any IPv4 host: other managers and agents are elsewhere, and may move. A bare :PORT would mean this
# machine alone. Names and IPv6 addresses cannot be given as a range, so those that are known are named: in the flags, and in
# what the agent beside has heard of.
known=''
[ ! -r "$state_dir/agent/managers" ] || known=$(cat "$state_dir/agent/managers")
net=:2377,0.0.0.0/0:2377
for address in "$listen" $advertise $(printf %s "$join" | tr , ' ') $known; do
  number=$(port "$address")
  case $number in '' | *[!0-9]*) continue ;; esac
  case ,$net, in *,:"$number",*) ;; *) net=$net,:$number,0.0.0.0/0:$number ;; esac
  case ${address%:"$number"} in
    '') ;;
    *:*) host=${address%:"$number"} host="[${host#[}" net=$net,"${host%]}]":$number ;;
    *[!0-9.]*) net=$net,${address%:"$number"}:$number ;;
  esac
done
net=$net,unix:$api
files=$state_dir,$(dirname -- "$api")
if [ "$docker" != none ]; then net=$net,docker:80,unix:$docker files=$files,$docker; fi

set -- "$@" --state-dir "$state_dir" --api "$api"
permissions="--allow-read=$root,$files
--allow-write=$files
--allow-net=$net
--allow-run=$root/agent/launch.sh
--allow-sys=hostname,osRelease,networkInterfaces
--allow-env=COVEY_DENO,CBOR_NATIVE_ACCELERATION_DISABLED"
if [ "$print" = yes ]; then printf '%s\n' "$permissions"; exit 0; fi

cd "$root"
# shellcheck disable=SC2086 # one word per permission: paths with blanks are refused by options.ts
exec "$deno" run --no-prompt --quiet --unstable-kv --config "$root/deno.json" $permissions "$root/manager/main.ts" "$@"
