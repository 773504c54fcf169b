#!/bin/sh
# Starts an agent with the smallest set of Deno permissions that its flags need, in this very process (exec), so that a service
# manager's signals reach it. COVEY_DENO names the deno program; `deno` on the PATH is the fallback. The PATH of all else is fixed.
#   launch.sh [run-agent flags]               see agent/options.ts; with COVEY_KEPT set, somebody starts it again when it ends
#   launch.sh --print-permissions [flags]     prints the permissions, one a line, and starts nothing
#   launch.sh --print-running [flags]         prints the process number of the agent that runs on the state folder, if one does
#   launch.sh --print-cgroups                 prints what can limit a process here: `v2 memory`, `v2`, `v1 memory` or `none`
#   launch.sh --print-task-user               prints who runs a task that names no user: `own`, `named`, `agent` or `none`, as the shim
#                                             has them, for whoever asks
set -eu

if [ "${1-}" = --print-task-user ]; then
  "$(dirname -- "$0")/../executors/process/shim.sh" describe | { read -r _ user _ && echo "$user"; }
  exit 0
fi

if [ "${1-}" = --print-cgroups ]; then
  groups=/sys/fs/cgroup
  if [ -r $groups/cgroup.controllers ]; then
    case " $(cat $groups/cgroup.controllers) " in *' memory '*) echo v2 memory ;; *) echo v2 ;; esac
  elif [ -d $groups/memory ]; then echo v1 memory
  else echo none; fi
  exit 0
fi

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
deno=${COVEY_DENO:-$(command -v deno || :)}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
# shellcheck source=../transport/allow_net.sh
. "$root/transport/allow_net.sh"
# shellcheck source=../security/join_token.sh
. "$root/security/join_token.sh"
state_dir=.covey/agent docker=/var/run/docker.sock join='' identity='' executor='' executors='' print=no token_flag='' token=''

# The flags are parsed properly by options.ts; here only what decides a permission is looked at.
take=''
for word in "$@"; do
  shift
  case $word in --print-permissions | --print-running) print=${word#--print-}; continue ;; esac
  if [ "$take" = token ]; then token=$word take=''; continue; fi
  case $take,$word in
    ,--token | ,--token-file) token_flag=$word take=token; continue ;;
    ,--token=* | ,--token-file=*) token_flag=${word%%=*} token=${word#*=}; continue ;;
  esac
  set -- "$@" "$word"
  if [ -n "$take" ]; then
    eval "$take=\$word"
    take=''
  else
    case $word in
      --state-dir) take=state_dir ;; --state-dir=*) state_dir=${word#*=} ;;
      --docker) take=docker ;; --docker=*) docker=${word#*=} ;;
      --join) take=join ;; --join=*) join=${word#*=} ;;
      --identity) take=identity ;; --identity=*) identity=${word#*=} ;;
      --executor) take=executor ;; --executor=*) executor=${word#*=} ;;
    esac
  fi
  if [ -n "$executor" ]; then executors="$executors $executor" executor=''; fi
done
# Without a value: left to options.ts, which says so.
if [ "$take" = token ]; then set -- "$@" "$token_flag"; token_flag=''; fi

absolute() { case $1 in /*) printf %s "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac }

state_dir=$(absolute "$state_dir")

if [ "$print" = running ]; then
  # Who holds the lock is known to the kernel alone.
  number=$(ls -i "$state_dir/agent.lock" 2>/dev/null | awk '{ print $1 }')
  [ -z "$number" ] || awk -v end=":$number" '$2 == "FLOCK" && substr($6, length($6) - length(end) + 1) == end { print $5; exit }' /proc/locks
  exit 0
fi

# What is in there, only this launcher writes: what is run of the state folder, and the addresses of --join, the last ones first:
# a device that was given another one may still need those before.
program=$state_dir/program given=''
[ ! -r "$program/join" ] || given=$(cat "$program/join")
joins=$(printf '%s\n%s\n' "$join" "$given" | tr , '\n' | awk 'NF && !seen[$0]++' | head -n 16)
set -f
# shellcheck disable=SC2086 # one word per address
allow_net $joins
# The managers that the cluster told the agent of are in a file that the agent writes, so they open no port: a manager with a port
# of its own has to be named in --join.
known=''
[ ! -r "$state_dir/managers" ] || known=$(head -n 64 "$state_dir/managers")
# shellcheck disable=SC2086
allow_hosts $known

read=$root,$state_dir,/proc/sys/kernel/random/boot_id write=$state_dir
if [ -n "$identity" ]; then identity=$(absolute "$identity") read=$read,$identity/certificates; fi
for path in $executors; do read=$read,$(absolute "$path"); done
if [ "$docker" != none ]; then
  docker=${docker#unix://}
  net=$net,unix:$docker read=$read,$docker write=$write,$docker
fi
# Who is not root cannot have the cluster's networks, and says so where an engine could have them.
networks=yes
[ "$docker" != none ] || [ "$(id -u)" = 0 ] || networks=
if [ -n "$networks" ]; then
  # Where tasks ask for names, a range by which they are heard there and nowhere else, and whom their other questions are handed
  # on to; where they get to nodes that only a manager reaches. Containers ask for many: by UDP, whose answers come back to a port of its own.
  net=$net,169.254.77.1:7753,169.254.77.1:7754,169.254.80.0/20,0.0.0.0/0:53 read=$read,/etc/resolv.conf
  [ "$docker" = none ] || net=$net,0.0.0.0:0
fi

# The device's own sockets (agent/local/). /etc/covey/local, which only root may write, says who besides the agent's own user gets to
# them: `group NAME` for people, `task SERVICE`, a name or a pattern, for tasks of services that ask for it. Without it, nobody.
net=$net,unix:$state_dir/local/agent.sock,unix:$state_dir/local/app/agent.sock
list=/etc/covey/local said=''
if [ -r $list ]; then
  # shellcheck disable=SC2012 # one file of a known name
  case $(stat -L -c '%u %A' -- $list) in
    '0 '?????w* | '0 '????????w?) echo "Others than root may write $list: it lets nobody in" >&2 ;;
    '0 '*)
      group=$(sed -n 's/^group \([A-Za-z0-9_.-]*\)$/\1/p' $list | head -n 1)
      if [ -n "$group" ]; then
        number=$(awk -F: -v name="$group" '$1 == name { print $3; exit }' /etc/group)
        if [ -n "$number" ]; then said="--local-group $number"; else echo "No such group, of $list: $group" >&2; fi
      fi
      said=$said$(sed -n 's/^task \([A-Za-z0-9_.*-]*\)$/ --local-service \1/p' $list | head -n 100 | tr -d '\n')
      ;;
    *) echo "$list does not belong to root: it lets nobody in" >&2 ;;
  esac
fi

# Where ports of tasks are reached that somebody forwards: so many at once of each runtime (executors/port_connector.ts).
folders='process deno'
[ "$docker" = none ] || folders="$folders ."
for folder in $folders; do
  for slot in 0 1; do
    at=$state_dir/$folder/forward/$slot/s
    [ "$folder" != . ] || at=$state_dir/forward/$slot/s
    net=$net,unix:$at
  done
done

shim=$root/executors/process/shim.sh helper=$root/network/helper/network.sh
# Not every shell has it; bash needs it.
if /bin/sh -p -c : 2>/dev/null; then
  shim=$root/executors/process/shim_clean.sh helper=$root/network/helper/network_clean.sh
fi
run=$shim
if [ -n "$networks" ]; then run=$run,$helper; else helper=none; fi
permissions="--allow-read=$read
--allow-write=$write
--deny-write=$program
--allow-net=$net
--allow-run=$run
--allow-env=COVEY_JOIN_TOKEN
--allow-sys=systemMemoryInfo,statfs"
if [ "$print" = permissions ]; then printf '%s\n' "$permissions"; exit 0; fi
case $deno in /*) ;; *) echo "Cannot start the agent: COVEY_DENO must be deno's absolute path, current value is \"$deno\"" >&2; exit 1 ;; esac
take_token "$token_flag" "$token"
# What it stands in is not its own: tasks, which run as other users, have to get through.
[ -d "$state_dir" ] || { (umask 022 && mkdir -p "${state_dir%/*}/") && (umask 077 && mkdir -p "$state_dir"); }
if [ "$given" != "$joins" ]; then
  # A full disk must not empty it, nor a power cut: whoever was told of a manager once may never be told again.
  (umask 077 && mkdir -p "$program" && printf '%s\n' "$joins" >"$program/join.$$" && sync "$program/join.$$" &&
    mv "$program/join.$$" "$program/join" && sync "$program" "$state_dir") 2>/dev/null || rm -f "$program/join.$$"
fi

# A disk that is full when the device reboots must not keep its tasks from starting: room for their records is set aside, and
# given back at a start that finds no other.
reserve=$state_dir/reserve kilobytes=512
free=$(df -Pk "$state_dir" 2>/dev/null | while read -r _ _ _ available _; do echo "$available"; done | tail -n 1)
case $free in
  '' | *[!0-9]*) ;;
  *) if [ "$free" -lt $kilobytes ]; then rm -f "$reserve"
    elif [ ! -e "$reserve" ] && [ "$free" -gt $((4 * kilobytes)) ]; then
      (umask 077 && head -c $((kilobytes * 1024)) /dev/zero >"$reserve") 2>/dev/null || rm -f "$reserve"
    fi ;;
esac

# A device's memory is for its tasks, and its SD card wears: no optimizing compiler and no threads for it or for the
# collector (an agent computes little; 4 MB), garbage collected when the agent says so (heap_keeper.ts), no code cache (4 MB,
# and 7 MB written at every start), one malloc arena (1 MB), no question to the network for a newer Deno (1 MB), nothing
# loaded for executors that are not used; what is large is given back to the system once it is free (0.3 MB), and the rest when
# the agent says so (7 MB of one that was busy). See docs/decisions/0040-agent-memory.md.
v8=--expose-gc,--lite-mode,--single-threaded,--max-semi-space-size=1,--max-old-space-size=256
export MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=65536 MALLOC_TOP_PAD_=0
export DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 DENO_USR2_MEMORY_TRIM=1

# No step of the start may be held up for longer by a network that swallows everything.
wait=''
command -v timeout >/dev/null && wait=timeout
limit=${wait:+$wait 30}
# What is in the cache will do: a proxy that is not there keeps deno from asking the network.
offline() {
  (export HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 ALL_PROXY=http://127.0.0.1:9 NO_PROXY=''
    unset http_proxy https_proxy all_proxy no_proxy
    "$@")
}
# New sources are compiled by a process of their own: the one that does it keeps 2 to 8 MB of it.
# shellcheck disable=SC2086 # two words
compile() { $limit "$deno" cache --quiet "$config" "$1"; }

# All modules in one small file, without a configuration to find packages by, take 3 MB less (no package is needed: node-forge is
# for who issues certificates). The platform's bundler makes it, where it is in the cache or the network leads to it, and again
# where the sources or deno have changed, or the disk has damaged the file. The network is waited for at a device's first start
# only; later it is asked beside the agent, for the start after this one.
bundle=$program/agent.js key=$program/key
made_of() {
  "$deno" --version
  find "$root/agent" "$root/api" "$root/executors" "$root/network" "$root/security" "$root/transport" -name '*.ts' -exec cat {} +
}
bundled() { [ -r "$key" ] && [ "$(made_of | cksum) $(cksum <"$bundle")" = "$(cat "$key")" ]; }
make_bundle() {
  # Under a name of its own: another agent may be started on this folder at the same time, which is refused later.
  # shellcheck disable=SC2086 # two words
  $limit "$deno" bundle --quiet --config "$root/deno.json" --packages external --minify -o "$bundle.$$" "$root/agent/main.ts" &&
    mv "$bundle.$$" "$bundle" && compile "$bundle" && echo "$(made_of | cksum) $(cksum <"$bundle")" >"$key" && return
  rm -f "$bundle.$$"
  return 1
}
have_bundle() {
  bundled || offline make_bundle || { [ ! -e "$state_dir/certificates" ] && (limit=${wait:+$wait 10} && make_bundle); }
}

main=$root/agent/main.js config=--no-config
if [ -r "$main" ]; then
  # An installed program is one file already (install/bundle.sh): nothing is made or fetched.
  if [ -n "$executors" ]; then
    echo "Cannot start the agent: --executor needs the sources, and an installed program has none" >&2
    exit 1
  fi
else
  main=$bundle
  # Somebody else's executor shares modules with the agent, such as its errors, and so needs them as they are.
  if [ -n "$executors" ] || ! { (umask 077 && mkdir -p "$program") && have_bundle; } 2>/dev/null; then
    # A child of nobody's, as the agent would not wait for its end.
    [ -n "$executors" ] ||
      (umask 077 && limit=${wait:+$wait 300} && exec </dev/null >/dev/null 2>&1 && make_bundle &)
    main=$root/agent/main.ts config=--config=$root/deno.json
    # It needs no package; what there is of this is a matter of memory, and what is wrong with it, the start says.
    offline compile "$main" 2>/dev/null || true
  fi
  # What is wrong with a module of somebody else's, the agent says itself.
  for path in $executors; do offline compile "$path" 2>/dev/null || compile "$path" 2>/dev/null || true; done
fi

# The last --state-dir wins; relative paths of the other flags are the caller's, so the folder is not changed.
set -- "$@" --state-dir "$state_dir" --shim "$shim" --network-helper "$helper"
# A variable where it is started, since a version that does not know a flag would not start with it; none for its tasks.
if [ -n "${COVEY_KEPT-}" ]; then set -- "$@" --kept; fi
unset COVEY_KEPT
[ ! -r "$root/VERSION" ] || set -- "$@" --program-version "$(cat "$root/VERSION")"
# shellcheck disable=SC2086 # words
[ -z "$said" ] || set -- "$@" $said
# One word per line: options.ts is to refuse a path with blanks, not the shell to tear it apart.
IFS='
'
# What the agent makes is nobody else's business, its database too.
umask 077
# shellcheck disable=SC2086
exec "$deno" run --no-prompt --quiet --cached-only --unstable-kv --unstable-lazy-dynamic-imports --no-code-cache --v8-flags="$v8" "$config" \
  $permissions "$main" "$@"
