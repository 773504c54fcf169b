#!/usr/bin/setsid /bin/sh
# Runs programs for the process executor; they outlive the agent that asked for them.
#
#   shim.sh serve STATE    takes requests on standard input until that ends, and forks a shim for each program: a fork
#                          costs a fraction of a shell that is loaded. One line a request, then one an answer, in any
#                          order, each beginning with the request's NUMBER:
#     run NUMBER ID        starts a program; lines that say more follow, then one with a dot. Answers
#                            started PID | claimed | refused FIELD MESSAGE
#                          and `ended` when the shim ends, which is after its only child, the program
#     check NUMBER ID      answers  new | running PID | orphan PID | gone | exit CODE [oom | lost INTERPRETER]
#     signal NUMBER ID NAME  signals the program's whole process group, KILL spares nothing; answers  done
#   shim.sh describe       answers  MEMORY_KIB HOSTNAME
#
# The lines of `run`: `arg TEXT` for the command and each argument, `env NAME=TEXT`, `path`, `user`, `dir`, `memory`
# (bytes), `nano_cpus`, `pids`. Where a text has several lines, the later ones begin with `+`. They are data: nothing
# of them is ever taken as code.
#
# This file is all that the agent's sandbox may run, so it decides what runs on the device:
# /etc/covey/allow, if there is one, lists the programs allowed, one absolute path or shell pattern a line
# (`*` matches `/` too; `#` starts a comment). It belongs to root. No file means every program is allowed. With
# a list, the loader's variables (LD_*) are refused, as they would make an allowed program run other code.
#
# Files in STATE, few because each costs a device's disk: runs/ID is open while the shim lives; it says who runs, the
# shim in its first line and the program in its second (boot id, pid, and start time: a recycled pid is never taken for
# ours; the shim's control group), and in its third how the program ended. logs/ID.log takes the output; tasks/ID is
# the default working directory.
#
# The first line gives the server and its shims a session of their own: neither Ctrl-C nor a signal to the agent's
# process group reaches them. (A fork with setsid in the agent costs that large process more.) Runs with dash and
# busybox sh; everything on the way to `started` is built in but mkdir and setsid.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ALLOW=/etc/covey/allow
# Control groups made at once; an unused one costs the kernel some kilobytes.
MAX_AHEAD=8
LC_ALL=C
NEWLINE='
'
umask 077

boot_id() { read -r boot </proc/sys/kernel/random/boot_id; }

# stat_of PID: sets pid, stat_state, parent, session and start (clock ticks since boot); fails without such a process.
stat_of() {
  stat=
  { while read -r line; do stat="$stat $line"; done <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$stat" ] || return 1
  set -f
  # The name in parentheses may hold anything, so cut after the last one.
  set -- ${stat%% (*} ${stat##*) }
  set +f
  pid=$1 stat_state=$2 parent=$3 session=$5 start=${21}
}

# Set want_boot, want_pid and want_start to what the record says of the shim, name its control group too, or of the
# program; fail where it says nothing.
read_shim() { read -r want_boot want_pid want_start name 2>/dev/null <"$record"; }
read_program() { { read -r _ && read -r want_boot want_pid want_start; } 2>/dev/null <"$record"; }
# Sets line to what the record says of the program's end; fails where it says nothing.
read_exit() { { read -r _ && read -r _ && read -r line; } 2>/dev/null <"$record"; }

# True if the wanted process runs, that very one and no later one with its pid; sets pid.
alive() {
  pid=
  [ "$boot" = "$want_boot" ] && stat_of "$want_pid" && [ "$start" = "$want_start" ] &&
    [ "$stat_state" != Z ] && pid=$want_pid
}
program_alive() { read_program && alive; }

# Sets base to the folder of our control groups; empty where we can make none. The one called `name` holds everything
# that a program starts.
find_base() {
  base=/sys/fs/cgroup/pids/covey
  for dir in /sys/fs/cgroup /sys/fs/cgroup/unified; do [ -e "$dir/cgroup.controllers" ] && base=$dir/covey && break; done
  [ -d "$base" ] || mkdir "$base" 2>/dev/null
  [ -w "$base" ] || base=
}

# Sets name to that of a new control group. They are made ahead, the more the more are taken: mkdir is a program, which
# costs more than the fork of a shim.
take_group() {
  if [ -z "$spare" ]; then
    [ "$ahead" -ge "$MAX_AHEAD" ] || ahead=$((ahead * 2))
    last=$((made + ahead))
    set --
    while [ "$made" -lt "$last" ]; do
      made=$((made + 1))
      spare="$spare $server.$made"
      set -- "$@" "$base/$server.$made"
    done
    [ -z "$base" ] || mkdir -p "$@" 2>/dev/null
  fi
  name=${spare##* } spare=${spare% *}
}

# Removes the control groups that servers which were killed had made ahead: those with processes stay by themselves.
sweep_groups() {
  owner= want_boot=$boot
  set --
  for dir in "$base"/*-*.*; do
    [ -d "$dir" ] || continue
    was=$owner owner=${dir##*/} owner=${owner%.*}
    [ "$owner" = "$was" ] || { want_pid=${owner%-*} want_start=${owner#*-} lives= && alive && lives=yes; }
    [ -n "$lives" ] || set -- "$@" "$dir"
  done
  [ $# = 0 ] || rmdir "$@" 2>/dev/null
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
  tree= groups=
  [ -n "$base" ] && [ -d "$base/$name" ] && tree=$base/$name groups=$base/$name
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

# Sets left to those of the task's groups that are there. Without a name they would be everybody's.
find_groups() {
  left=
  [ -n "$name" ] || return 0
  for dir in ${base:+"$base/$name"} /sys/fs/cgroup/memory/covey/"$name" /sys/fs/cgroup/cpu/covey/"$name" \
    /sys/fs/cgroup/pids/covey/"$name"; do
    [ -d "$dir" ] && left="$left $dir"
  done
}

# Kills what is left in the task's groups.
kill_groups() {
  find_groups
  for dir in $left; do
    { echo 1 >"$dir/cgroup.kill"; } 2>/dev/null ||
      while read -r pid; do kill -KILL "$pid"; done 2>/dev/null <"$dir/cgroup.procs"
  done
}

# The same, and removes the groups, once what was killed is gone.
clear_groups() {
  for pass in 1 2 3 4 5 6 7 8 9; do
    kill_groups
    [ -n "$left" ] || return
    rmdir $left 2>/dev/null && return
    sleep "0.0$pass"
  done
}

# Kills every process of the session that `program` leads, those in other process groups too.
sweep_session() {
  for entry in /proc/[0-9]*; do
    stat_of "${entry#/proc/}" && [ "$session" = "$1" ] && kill -KILL "$pid" 2>/dev/null
  done
}

was_oom() {
  for file in "$base/$name/memory.events" "/sys/fs/cgroup/memory/covey/$name/memory.oom_control"; do
    [ -e "$file" ] || continue
    while read -r key value; do [ "$key" = oom_kill ] && [ "$value" -gt 0 ] && return 0; done <"$file"
  done
  return 1
}

# Answers the request; whole, as other answers are under way. What is too long or has lines is cut.
say() {
  answer=$*
  printf '%s %.3000s\n' "$number" "${answer%%"$NEWLINE"*}" >&3
}

refuse() {
  say "refused $*"
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
  while IFS=: read -r name _ gid _; do [ "$name" = "$1" ] && echo "$gid" && return; done </etc/group
  return 1
}

# The other user may be allowed less than we are: look once more before saying that it runs.
CHECK_AGAIN='number=$1 pid=$2 program=$3 shown=$4
shift 4
[ -x "$program" ] || {
  printf "%s refused ProcessSpec.Command not executable for this user: %.3000s\n" "$number" "$shown" >&3
  exit 125
}
echo "$number started $pid" >&3
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
  # A new server may have swept away what a killed one had made.
  for dir in $groups; do
    [ -d "$dir" ] || mkdir "$dir"
    echo 0 >"$dir/cgroup.procs" || refuse Resources.Limits "cannot enter $dir"
  done
  [ -z "$weak_memory" ] || ulimit -v "$weak_memory" || unlimited="$unlimited MemoryBytes"
  log=$state/logs/$id.log
  [ -z "$unlimited" ] || echo "covey: not limited, as this device has no cgroup controller for:$unlimited" >>"$log"
  exec </dev/null >>"$log" 2>&1 || refuse log "cannot write $log"
  stat_of self && echo "$boot $pid $start" >&9 || refuse state "cannot write $record"
  exec 9>&-
  cd "${COVEY_DIR:-.}" 2>/dev/null || refuse ProcessSpec.Dir "cannot enter $COVEY_DIR"
  umask 022
  PATH=$COVEY_PATH
  # From here on only `$@` and these names matter, as the program's variables may have any other, IFS too.
  shift
  [ -n "$drop" ] && drop="$drop /bin/sh" && set -- -c "$CHECK_AGAIN" sh "$number" "$pid" "$program" "${program%%"$NEWLINE"*}" "$@"
  [ -n "$drop" ] || set -- "$program" "$@"
  set -- /usr/bin/setsid $drop "$@"
  _covey_number=$number _covey_pid=$pid _covey_drop=$drop _covey_n=0
  unset PWD OLDPWD
  export PATH
  while eval "_covey_entry=\${COVEY_ENV_$_covey_n-}" && [ -n "$_covey_entry" ]; do
    unset "COVEY_ENV_$_covey_n"
    _covey_n=$((_covey_n + 1))
    export "$_covey_entry"
  done
  [ -z "$_covey_drop" ] || exec "$@"
  echo "$_covey_number started $_covey_pid" >&3
  trap - PIPE
  exec "$@" 3>&-
}

# Sets the options and variables of a request to `run`.
take_option() {
  value=${1#* }
  case $1 in
    env\ *) eval "COVEY_ENV_$variables=\$value" && variables=$((variables + 1)) ;;
    path\ *) COVEY_PATH=$value ;;
    user\ *) COVEY_USER=$value ;;
    dir\ *) COVEY_DIR=$value ;;
    memory\ *) COVEY_MEMORY=$value ;;
    nano_cpus\ *) COVEY_NANO_CPUS=$value ;;
    pids\ *) COVEY_PIDS=$value ;;
    *) refuse request "unknown option: ${1%% *}" ;;
  esac
}

# Lets the server go on, which waits for this shim's parent. What is started with `&` is not waited for either, but it
# and its children ignore INT and QUIT for good.
abandon() { [ "$parent" = $$ ] || kill -KILL "$parent"; }

# A shim that started nothing has not removed its group either.
leave() {
  [ -z "$base" ] || [ ! -d "$base/$name" ] || rmdir "$base/$name" 2>/dev/null
  say ended
}

# The shim: starts a program, stays until it ends, and writes down how. `$@` is the lines of the request.
run() {
  trap leave EXIT
  COVEY_USER= COVEY_DIR= COVEY_PATH= COVEY_MEMORY= COVEY_NANO_CPUS= COVEY_PIDS= variables=0
  for line; do
    shift
    case $line in arg\ *) set -- "$@" "${line#arg }" ;; *) take_option "$line" ;; esac
  done
  cd "$state/tasks/$id" || refuse state "cannot enter $state/tasks/$id"
  stat_of self || refuse state "cannot read /proc"
  abandon
  # The claim: of two shims for one task the second gives up here.
  set -C
  { shim "$@"; } 2>/dev/null 9>"$record" || [ -n "$claimed" ] || say claimed
}

shim() {
  claimed=yes
  set +C
  echo "$boot $pid $start $name" >&9 || refuse state "cannot write $record"
  weak_memory= unlimited=
  find_program "$1"
  check_allowed
  find_user
  make_groups
  (become "$@")
  code=$?
  if read_program; then kill -KILL -- "-$want_pid" 2>/dev/null; else echo >&9; fi
  note=
  [ "$code" = 127 ] && find_lost
  [ -n "$COVEY_MEMORY" ] && was_oom && note=oom
  clear_groups
  echo "exit $code $note" >&9
}

check() {
  cd "$state/tasks/$id" 2>/dev/null || { say gone && return; }
  [ -e "$record" ] || { say new && return; }
  read_exit && say "$line" && return
  if read_shim && alive; then
    program_alive
    say "running ${pid:-0}"
  elif read_exit; then
    say "$line"
  elif program_alive; then
    say "orphan $pid"
  else
    # Both may have been killed, but not what the program started.
    read_shim && [ "$want_boot" = "$boot" ] && clear_groups
    say gone
  fi
}

# signal NAME: with KILL, what has left the process group is found by the control group or else, which takes a look at
# every process of the device, by the session.
signal() {
  cd "$state/tasks/$id" 2>/dev/null && read_program && [ "$boot" = "$want_boot" ] || { say done && return; }
  leader=$want_pid
  # A group outlives its leader and keeps the leader's pid from being used again.
  if stat_of "$leader" && [ "$start" != "$want_start" ]; then say done && return; fi
  kill -s "$1" -- "-$leader" 2>/dev/null || { program_alive && kill -s "$1" "$leader" 2>/dev/null; }
  if [ "$1" = KILL ]; then
    read_shim
    [ -n "$base" ] || sweep_session "$leader"
    # Where the shim lives it removes the groups itself.
    if alive; then kill_groups; else clear_groups; fi
  fi
  say done
}

# Takes requests. What an agent did not finish asking for, with a dot, is not done.
serve() {
  boot_id && stat_of self || exit 125
  exec 3>&1 >/dev/null
  server=$pid-$start made=0 ahead=1 spare=
  find_base
  [ -z "$base" ] || sweep_groups
  # An agent that died meanwhile is no reason not to start a program: PIPE as well.
  trap '' HUP INT QUIT TERM PIPE
  while read -r request number id name; do
    # Lets go of what is remembered of those that looked and signalled.
    jobs
    record=$state/runs/$id
    case $request in
      check) check </dev/null & ;;
      signal) signal "$name" </dev/null & ;;
      run)
        set -- && entry=
        while IFS= read -r line; do
          case $line in
            +*) entry=$entry$NEWLINE${line#+} && continue ;;
            .)
              set -- "$@" "$entry"
              take_group
              ( (run "$@"); :) </dev/null
              break
              ;;
          esac
          [ -z "$entry" ] || set -- "$@" "$entry"
          entry=$line
        done
        ;;
    esac
  done
  set -f
  for name in $spare; do set -- "$@" "$base/$name"; done
  [ $# = 0 ] || rmdir "$@" 2>/dev/null
}

state=$2
case $1 in
  serve) serve ;;
  describe)
    while read -r key value _; do [ "$key" = MemTotal: ] && break; done </proc/meminfo
    read -r name </proc/sys/kernel/hostname
    echo "$value $name"
    ;;
  *) echo "usage: shim.sh serve STATE | describe" >&2 && exit 2 ;;
esac
