#!/bin/sh
# Starts a manager with the smallest set of Deno permissions that its flags need, in this very process (exec), so that a service
# manager's signals reach it. With --idle and nothing in the state folder that is its front (docs/decisions/0021), which has no
# address at all and starts this again for the manager itself. COVEY_DENO names the deno program; `deno` on the PATH is the
# fallback. The PATH of all else is fixed.
#   launch.sh [run-manager flags]             see manager/process/options.ts
#   launch.sh --print-permissions [flags]     prints the permissions, one a line, and starts nothing
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
deno=${COVEY_DENO:-$(command -v deno || :)}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# shellcheck source=../transport/allow_net.sh
. "$root/transport/allow_net.sh"
# shellcheck source=../security/join_token.sh
. "$root/security/join_token.sh"
state_dir=.covey/manager listen=0.0.0.0:2377 advertise='' api='' docker=/var/run/docker.sock join='' print=no token_flag='' token=''
allow='' idle=no child=no

# The flags are parsed properly by options.ts; here only what decides a permission is looked at.
take=''
for word in "$@"; do
  shift
  if [ "$take" = token ]; then token=$word take=''; continue; fi
  case $take,$word in
    ,--token | ,--token-file) token_flag=$word take=token; continue ;;
    ,--token=* | ,--token-file=*) token_flag=${word%%=*} token=${word#*=}; continue ;;
  esac
  set -- "$@" "$word"
  if [ -n "$take" ]; then eval "$take=\$word"; take=''; continue; fi
  case $word in
    --state-dir) take=state_dir ;; --state-dir=*) state_dir=${word#*=} ;;
    --listen) take=listen ;; --listen=*) listen=${word#*=} ;;
    --advertise) take=advertise ;; --advertise=*) advertise=${word#*=} ;;
    --api) take=api ;; --api=*) api=${word#*=} ;;
    --docker) take=docker ;; --docker=*) docker=${word#*=} ;;
    --join) take=join ;; --join=*) join=${word#*=} ;;
    --allow) take=allow ;; --allow=*) allow=${word#*=} ;;
    --idle) idle=yes ;;
    --exit-with-parent) child=yes ;;
    --print-permissions) print=yes ;;
  esac
done
# Without a value: left to options.ts, which says so.
if [ "$take" = token ]; then set -- "$@" "$token_flag"; token_flag=''; fi

absolute() { case $1 in /*) printf %s "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac }

state_dir=$(absolute "$state_dir")
api=$(absolute "${api:-$state_dir/covey.sock}")
docker=${docker#unix://}

# What the node remembers counts where no flag says anything else: every "HOST:PORT" of its membership.
known=''
[ ! -r "$state_dir/node.json" ] || known=$(tr -s '[:space:],' '\n\n' <"$state_dir/node.json" | sed -n 's/^"\(.*:[0-9]*\)"$/\1/p')
set -f
# shellcheck disable=SC2046,SC2086 # one word per address
allow_net "$listen" "$advertise" $(printf %s "$join,$allow" | tr , ' ') $known
# What the agent beside has heard of, one HOST:PORT a line. The agent writes it, so it opens no port.
heard=''
[ ! -r "$state_dir/agent/managers" ] || heard=$(head -n 64 "$state_dir/agent/managers")
# shellcheck disable=SC2086
allow_hosts $heard
program=main run=$root/agent/launch.sh,$root/transport/look_up.sh sys=hostname,osRelease,networkInterfaces
if [ "$idle$child" = yesno ] && [ ! -e "$state_dir/node.json" ]; then
  program=idle net=192.0.2.1:80,unix:$state_dir/inner.sock run=$root/manager/launch.sh sys=networkInterfaces
fi
net=$net,unix:$api
files=$state_dir,$(dirname -- "$api")
if [ "$docker" != none ]; then net=$net,192.0.2.1:80,unix:$docker files=$files,$docker; fi

set -- "$@" --state-dir "$state_dir" --api "$api"
permissions="--allow-read=$root,$files
--allow-write=$files
--allow-net=$net
--allow-run=$run
--allow-sys=$sys
--allow-env=COVEY_DENO,COVEY_DESCRIPTORS,COVEY_JOIN_TOKEN,CBOR_NATIVE_ACCELERATION_DISABLED"
if [ "$print" = yes ]; then printf '%s\n' "$permissions"; exit 0; fi
case $deno in /*) ;; *) echo "Cannot start the manager: COVEY_DENO must be deno's absolute path, current value is \"$deno\"" >&2; exit 1 ;; esac
take_token "$token_flag" "$token"
mkdir -p "$(dirname -- "$api")"
# What it stands in is not its own.
[ -d "$state_dir" ] || (umask 022 && mkdir -p "${state_dir%/*}/")
# The cluster's keys are in there, in a folder that may have been made by somebody who did not know.
umask 077
mkdir -p "$state_dir"
chmod go= "$state_dir"

# Deno takes as many descriptors as it may have; how many that is, the program may not ask itself.
COVEY_DESCRIPTORS=$(ulimit -Hn)
export COVEY_DESCRIPTORS

cd "$root"
# An installed program is one file for each start (install/bundle.sh), without packages to find.
main=$root/manager/$program.js config=--no-config
[ -r "$main" ] || main=$root/manager/$program.ts config=--config=$root/deno.json
# One word per line: options.ts is to refuse a path with blanks, not the shell to tear it apart.
IFS='
'
# shellcheck disable=SC2086
exec "$deno" run --no-prompt --quiet --unstable-kv "$config" $permissions "$main" "$@"
