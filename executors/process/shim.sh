#!/usr/bin/setsid /bin/sh
# Runs one program for the process executor and outlives the agent that asked for it.
#
#   shim.sh run STATE ID -- COMMAND [ARG...]   starts a program; answers one line on standard output:
#                                                started PID | claimed | refused FIELD MESSAGE
#                                              then stays, with its program as only child, until that ends
#   shim.sh check STATE ID                     answers  new | running PID | orphan PID | gone |
#                                                       exit CODE [oom | lost INTERPRETER]
#   shim.sh signal STATE ID NAME               signals the program's whole process group; KILL spares nothing
#   shim.sh describe                           answers  MEMORY_KIB HOSTNAME
#
# This file is all that the agent's sandbox may run, so it decides what runs on the device:
# /etc/covey/allow, if there is one, lists the programs allowed, one absolute path or shell pattern a line
# (`*` matches `/` too; `#` starts a comment). It belongs to root. No file means every program is allowed. With
# a list, the loader's variables (LD_*) are refused, as they would make an allowed program run other code.
#
# Options of `run` come in the environment, which other users cannot read: COVEY_USER, COVEY_DIR, COVEY_PATH,
# COVEY_MEMORY (bytes), COVEY_NANO_CPUS, COVEY_PIDS, and COVEY_ENV_0 ... with one NAME=value each.
#
# Files in STATE, few because each costs a device's disk: runs/ID says who runs, the shim in its first line and the
# program in its second (boot id, pid, and the program's start time: a recycled pid is never taken for ours); exits/ID
# is open while the shim lives and gets one line when the program has ended; logs/ID.log takes the output; tasks/ID is
# the default working directory.
#
# The first line gives a shim a session of its own: neither Ctrl-C nor a signal to the agent's process group reaches
# it. (A fork with setsid in the agent costs that large process more.) Runs with dash and busybox sh; everything on
# the way to `started` is built in but mkdir and setsid.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ALLOW=/etc/covey/allow
LC_ALL=C
umask 077

boot_id() { read -r boot </proc/sys/kernel/random/boot_id; }

# stat_of PID: sets pid, stat_state, group, session and start (clock ticks since boot); fails without such a process.
stat_of() {
  stat=
  { while read -r line; do stat="$stat $line"; done <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$stat" ] || return 1
  set -f
  # The name in parentheses may hold anything, so cut after the last one.
  set -- ${stat%% (*} ${stat##*) }
  set +f
  pid=$1 stat_state=$2 group=$4 session=$5 start=${21}
}

# Sets want_boot, want_pid and want_start to what the record says of the program; fails where it says nothing.
read_program() { { read -r _ && read -r want_boot want_pid want_start; } 2>/dev/null <"$record"; }

# True if the program on record runs, that very process and no later one with its pid; sets pid.
program_alive() {
  pid=
  read_program || return 1
  boot_id
  [ "$boot" = "$want_boot" ] && stat_of "$want_pid" && [ "$start" = "$want_start" ] &&
    [ "$stat_state" != Z ] && pid=$want_pid
}

# True if the shim on record runs. Its command line says for whom, which costs less to know than a start time.
shim_alive() {
  read -r want_boot want_pid 2>/dev/null <"$record" || return 1
  boot_id
  cmdline=
  [ "$boot" = "$want_boot" ] && { read -r cmdline <"/proc/$want_pid/cmdline"; } 2>/dev/null
  case $cmdline in *run"$state$id"--*) return 0 ;; *) return 1 ;; esac
}

# Names the task's control groups. The shim's pid is part of it, as two agents on one device (tests, clusters side by
# side) may use one task ID.
name_groups() {
  shim_pid=0
  { read -r _ shim_pid <"$record"; } 2>/dev/null
  name=$id.$shim_pid
}

# The control group that holds everything the program starts; empty where there is none.
find_tree() {
  tree=
  for base in /sys/fs/cgroup /sys/fs/cgroup/unified; do
    [ -e "$base/cgroup.controllers" ] && tree=$base/covey/$name && return
  done
  [ -e /sys/fs/cgroup/pids/cgroup.procs ] && tree=/sys/fs/cgroup/pids/covey/$name
}

# limit CONTROLLER FILE VALUE [FILE VALUE]: sets v1 or v2 limits, joins the group to those the program enters.
limit_v2() {
  echo "+$1" >"${tree%/*/*}/cgroup.subtree_control" && echo "+$1" >"${tree%/*}/cgroup.subtree_control" &&
    echo "$3" >"$tree/$2"
} 2>/dev/null
limit_v1() {
  dir=/sys/fs/cgroup/$1/covey/$name
  [ -e "/sys/fs/cgroup/$1/cgroup.procs" ] && mkdir -p "$dir" && echo "$3" >"$dir/$2" || return 1
  case " $groups " in *" $dir "*) ;; *) groups="$groups $dir" ;; esac
} 2>/dev/null

make_groups() {
  groups=
  find_tree
  if [ -n "$tree" ]; then
    if mkdir -p "$tree" 2>/dev/null; then groups=$tree; else tree=; fi
  fi
  if [ -n "$COVEY_MEMORY" ]; then
    { [ -n "$tree" ] && limit_v2 memory memory.max "$COVEY_MEMORY"; } ||
      limit_v1 memory memory.limit_in_bytes "$COVEY_MEMORY" || weak_memory=$((COVEY_MEMORY / 1024))
  fi
  if [ -n "$COVEY_NANO_CPUS" ]; then
    quota=$((COVEY_NANO_CPUS / 10000))
    { [ -n "$tree" ] && limit_v2 cpu cpu.max "$quota 100000"; } ||
      limit_v1 cpu cpu.cfs_quota_us "$quota" || unlimited="$unlimited NanoCPUs"
  fi
  if [ -n "$COVEY_PIDS" ]; then
    { [ -n "$tree" ] && limit_v2 pids pids.max "$COVEY_PIDS"; } ||
      limit_v1 pids pids.max "$COVEY_PIDS" || unlimited="$unlimited Pids"
  fi
}

# Kills what is left in the control group, and removes the groups of the task.
clear_groups() {
  find_tree
  left=
  for dir in "$tree" /sys/fs/cgroup/memory/covey/"$name" /sys/fs/cgroup/cpu/covey/"$name" \
    /sys/fs/cgroup/pids/covey/"$name"; do
    [ -n "$dir" ] && [ -d "$dir" ] && left="$left $dir"
  done
  passes=0
  while [ -n "$left" ] && [ "$passes" -lt 100 ]; do
    for dir in $left; do
      { echo 1 >"$dir/cgroup.kill"; } 2>/dev/null ||
        while read -r pid; do kill -KILL "$pid"; done 2>/dev/null <"$dir/cgroup.procs"
    done
    rmdir $left 2>/dev/null && return
    remain=
    for dir in $left; do [ -d "$dir" ] && remain="$remain $dir"; done
    left=$remain passes=$((passes + 1))
    [ -z "$left" ] || sleep 0.02
  done
}

# Kills every process of the session that `program` leads, those in other process groups too.
sweep_session() {
  for entry in /proc/[0-9]*; do
    stat_of "${entry#/proc/}" && [ "$session" = "$1" ] && kill -KILL "$pid" 2>/dev/null
  done
}

was_oom() {
  for file in "$tree/memory.events" "/sys/fs/cgroup/memory/covey/$name/memory.oom_control"; do
    [ -e "$file" ] || continue
    while read -r key value; do [ "$key" = oom_kill ] && [ "$value" -gt 0 ] && return 0; done <"$file"
  done
  return 1
}

refuse() {
  echo "refused $*" >&3
  exit 125
}

# Sets program to the file that COMMAND names, looked up in the program's own PATH.
find_program() {
  program= found=
  case $1 in
    */*) [ -f "$1" ] && found=$1 && [ -x "$1" ] && program=$1 ;;
    *)
      IFS=:
      for dir in $COVEY_PATH; do
        [ -f "$dir/$1" ] && found=$dir/$1 && [ -x "$dir/$1" ] && program=$dir/$1 && break
      done
      unset IFS
      ;;
  esac
  [ -n "$program" ] && return
  [ -z "$found" ] && refuse ProcessSpec.Command "no such program: $1"
  refuse ProcessSpec.Command "not executable: $found"
}

check_allowed() {
  [ -e "$ALLOW" ] || return 0
  n=0
  while eval "entry=\${COVEY_ENV_$n-}" && [ -n "$entry" ]; do
    case $entry in LD_*) refuse "ProcessSpec.Env[$n]" "LD_ variables are refused while there is $ALLOW" ;; esac
    n=$((n + 1))
  done
  program=$(readlink -f -- "$program")
  while read -r pattern || [ -n "$pattern" ]; do
    case $pattern in '' | '#'*) continue ;; esac
    case $program in $pattern) return 0 ;; esac
  done <"$ALLOW"
  refuse ProcessSpec.Command "not allowed by $ALLOW: $program"
}

# Sets drop to the command that changes to COVEY_USER; empty when that is who we are.
find_user() {
  drop=
  [ -n "$COVEY_USER" ] || return 0
  user=${COVEY_USER%%:*} wanted=${COVEY_USER#"$user"} wanted=${wanted#:} more=--init-groups
  uid=$(id -u -- "$user" 2>/dev/null) gid=$(id -g -- "$user" 2>/dev/null)
  if [ -z "$uid" ]; then
    case $user in '' | *[!0-9]*) refuse ProcessSpec.User "no such user: $user" ;; esac
    [ -n "$wanted" ] || refuse ProcessSpec.User "user $user is unknown here and so needs a group: $user:GROUP"
    uid=$user more=--clear-groups
  fi
  if [ -n "$wanted" ]; then
    more=--clear-groups
    case $wanted in
      *[!0-9]*) gid=$(find_group "$wanted") && [ -n "$gid" ] || refuse ProcessSpec.User "no such group: $wanted" ;;
      *) gid=$wanted ;;
    esac
  fi
  me=$(id -u)
  [ "$uid" = "$me" ] && [ "$gid" = "$(id -g)" ] && return
  [ "$me" = 0 ] || refuse ProcessSpec.User "only an agent that runs as root can run programs as $COVEY_USER"
  if command -v setpriv >/dev/null && setpriv --help 2>&1 | grep -q reuid; then
    drop="$(command -v setpriv) --reuid $uid --regid $gid $more --"
  elif command -v su-exec >/dev/null; then
    drop="$(command -v su-exec) $uid:$gid"
  elif command -v gosu >/dev/null; then
    drop="$(command -v gosu) $uid:$gid"
  else
    refuse ProcessSpec.User "cannot change the user: this device has none of setpriv, su-exec and gosu"
  fi
  chown "$uid:$gid" .
}

find_group() {
  while IFS=: read -r name _ number _; do [ "$name" = "$1" ] && echo "$number" && return; done </etc/group
  return 1
}

# The other user may be allowed less than we are: look once more before saying that it runs.
CHECK_AGAIN='pid=$1 program=$2
shift 2
[ -x "$program" ] || { echo "refused ProcessSpec.Command not executable for this user: $program" >&3; exit 125; }
echo "started $pid" >&3
unset PWD OLDPWD
exec "$program" "$@" 3>&-'

# Sets note to the interpreter that the program's first line names, if it is not there: all that the kernel says of it is 127.
find_lost() {
  line=$(head -c 256 <"$program" | head -n 1) 2>/dev/null
  case $line in '#!'*) ;; *) return ;; esac
  set -f
  set -- ${line#??}
  set +f
  case $1 in /*) [ -e "$1" ] || note="lost $1" ;; esac
}

# Becomes the program; `$@` is the command. Runs in the shim's child.
become() {
  trap - HUP INT QUIT TERM
  for dir in $groups; do echo 0 >"$dir/cgroup.procs" || refuse Resources.Limits "cannot enter $dir"; done
  [ -z "$weak_memory" ] || ulimit -v "$weak_memory" || unlimited="$unlimited MemoryBytes"
  log=$state/logs/$id.log
  [ -z "$unlimited" ] || echo "covey: not limited, as this device has no cgroup controller for:$unlimited" >>"$log"
  exec </dev/null >>"$log" 2>&1 9>&- || refuse log "cannot write $log"
  stat_of self && echo "$boot $pid $start" >>"$record" || refuse state "cannot write $record"
  cd "${COVEY_DIR:-.}" 2>/dev/null || refuse ProcessSpec.Dir "cannot enter $COVEY_DIR"
  umask 022
  PATH=$COVEY_PATH
  # From here on only `$@` and these names matter, as the program's variables may have any other, IFS too.
  shift
  [ -n "$drop" ] && drop="$drop /bin/sh" && set -- -c "$CHECK_AGAIN" sh "$pid" "$program" "$@"
  [ -n "$drop" ] || set -- "$program" "$@"
  set -- /usr/bin/setsid $drop "$@"
  _covey_pid=$pid _covey_drop=$drop _covey_n=0
  unset COVEY_USER COVEY_DIR COVEY_PATH COVEY_MEMORY COVEY_NANO_CPUS COVEY_PIDS PWD OLDPWD LC_ALL
  export PATH
  while eval "_covey_entry=\${COVEY_ENV_$_covey_n-}" && [ -n "$_covey_entry" ]; do
    unset "COVEY_ENV_$_covey_n"
    _covey_n=$((_covey_n + 1))
    export "$_covey_entry"
  done
  [ -z "$_covey_drop" ] || exec "$@"
  echo "started $_covey_pid" >&3
  trap - PIPE
  exec "$@" 3>&-
}

run() {
  cd "$state/tasks/$id" && boot_id || exit 125
  exec 3>&1 >/dev/null
  # The claim: of two shims for one task the second gives up here.
  set -C
  { echo "$boot $$" >"$record"; } 2>/dev/null || { echo claimed >&3 && exit 0; }
  set +C
  name_groups
  # An agent that died meanwhile is no reason not to start: PIPE as well.
  trap '' HUP INT QUIT TERM PIPE
  exec 9>"$state/exits/$id"
  weak_memory= unlimited= group= groups=
  find_program "$1"
  check_allowed
  find_user
  make_groups
  (become "$@")
  code=$?
  read_program && kill -KILL -- "-$want_pid" 2>/dev/null
  note=
  [ "$code" = 127 ] && find_lost
  [ -n "$COVEY_MEMORY" ] && was_oom && note=oom
  [ -z "$groups" ] || clear_groups
  echo "exit $code $note" >&9
}

check() {
  cd "$state/tasks/$id" 2>/dev/null || { echo gone && return; }
  [ -s "$state/exits/$id" ] && read -r line <"$state/exits/$id" && echo "$line" && return
  [ -e "$record" ] || { echo new && return; }
  if shim_alive; then
    program_alive
    echo "running ${pid:-0}"
  elif [ -s "$state/exits/$id" ]; then
    read -r line <"$state/exits/$id" && echo "$line"
  elif program_alive; then
    echo "orphan $pid"
  else
    # Both may have been killed, but not what the program started.
    name_groups
    clear_groups
    echo gone
  fi
}

signal() {
  cd "$state/tasks/$id" 2>/dev/null || return 0
  boot_id
  read_program && [ "$boot" = "$want_boot" ] || return 0
  leader=$want_pid
  # A group outlives its leader and keeps the leader's pid from being used again.
  if stat_of "$leader" && [ "$start" != "$want_start" ]; then return 0; fi
  kill -s "$1" -- "-$leader" 2>/dev/null || { program_alive && kill -s "$1" "$leader" 2>/dev/null; }
  [ "$1" = KILL ] || return 0
  sweep_session "$leader"
  name_groups
  clear_groups
}

command=$1 state=$2 id=$3
record=$state/runs/$id
case $command in
  run) shift 4 && run "$@" ;;
  check) check ;;
  signal) signal "$4" ;;
  describe)
    while read -r key value _; do [ "$key" = MemTotal: ] && break; done </proc/meminfo
    read -r name </proc/sys/kernel/hostname
    echo "$value $name"
    ;;
  *) echo "usage: shim.sh run|check|signal|describe STATE ID ..." >&2 && exit 2 ;;
esac
