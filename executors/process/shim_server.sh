# Runs programs for the process executor; they outlive the agent that asked for them. shim.sh starts it, with an environment
# that is empty.
#
#   shim.sh serve STATE [once]
#                          takes requests on standard input until that ends, and forks a shim for each program: a fork
#                          costs a fraction of a shell that is loaded. One line a request, then one an answer, in any
#                          order, each beginning with the request's NUMBER:
#                          In the end it leaves a process behind that bounds the logs until the next one comes, but
#                          for `once`, which serves beside another one.
#     run NUMBER ID SEPARATOR NEWLINE
#                          starts a program; three lines that say more follow. Answers
#                            started PID | claimed | refused FIELD MESSAGE
#                          and `ended` when the shim ends, which is after its only child, the program
#     judge NUMBER ID SEPARATOR NEWLINE
#                          the same request; answers  fit  or as `run` does, and starts nothing
#     check NUMBER ID      answers  new | running PID | orphan PID | gone | exit CODE [oom | lost INTERPRETER]
#     tell NUMBER ID NAME  signals the program's first process alone; answers  done
#     signal NUMBER ID NAME  signals the program's whole process group, KILL spares nothing; answers  done
#   shim.sh describe [STATE]
#                          answers  MEMORY_KIB USER HOSTNAME, with USER as find_usual says, and ends the programs of a STATE that was deleted
#   shim.sh measure STATE  answers how the device is, as shim_measure.sh says
#   shim.sh facts          answers with lines NAME VALUE: what the device is
#   shim.sh container KIND VALUE...
#                          answers whether a container may have that of the device, as shim_container.sh says
#   shim.sh enter STATE    runs something inside of a task, as shim_enter.sh says: its input and output are the program's
#   shim.sh reach STATE ID PID NAME  signals the process group that PID leads, if it is the task's
#   shim.sh strike CONTAINER PID NAME  signals the process group that PID leads, if it is the container's
#   shim.sh resize STATE ID PID ROWS COLUMNS  tells the terminal of what `enter` started how large it is
#   shim.sh connect STATE SLOT DENO PORT SERVICE ...  leads to a port of a task, as shim_connect.sh says
#   shim.sh may KIND SERVICE
#                          answers whether the device lets somebody get at the inside of the service's tasks
#   shim.sh keep STATE ID PART NAME MODE UID GID
#                          keeps standard input in memory as a file of the task: answers  kept PATH | refused MESSAGE
#   shim.sh forget STATE ID  removes all files that are kept of the task
#   shim.sh kept STATE     answers with the IDs of the tasks that files are kept of
#
# The lines of `run` are PATH, user, folder, whether files are kept, memory (bytes), NanoCPUs, processes, what is closed (`root`, `tmp`,
# `root tmp`), devices, the node's ID for a program in the cluster's networks, command and grants; the variables, NAME=TEXT; and
# the arguments. SEPARATOR, a control character that is in none of them, ends each text, and NEWLINE, another, stands for a
# newline: so the shell splits them in one go, where a loop over arguments would copy all of them for each. They are data:
# nothing of them is ever taken as code. shim_rules.sh and, for a request with grants, shim_deno.sh say what may run, and check each number and name, whatever the agent
# has checked: an agent that somebody took over is whom the shim guards the device against.
#
# Files in STATE, few because each costs a device's disk: runs/ID is open while the shim lives; it says who runs, the
# shim in its first line and the program in its second (boot id, pid, and start time: a recycled pid is never taken for
# ours; the shim's control group), and in its third how the program ended. logs/ID.log takes the output, logs/ID+err.log the errors; tasks/ID is
# the default working directory. The agent may write them all, so no process is signalled on a record's word: it has to be in
# the control group that the shim put it into. Where a device has no control groups, it has to lead a session.
#
# Runs with dash, bash and busybox sh; everything on the way to `started` is built in but mkdir, setsid and env.

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Control groups made at once; an unused one costs the kernel some kilobytes.
MAX_AHEAD=8
# Size at which a log becomes the older one, that of log_keeper.ts.
MAX_LOG_BYTES=1048576
# All logs together, and the least of each, as there.
MAX_TOTAL_LOG_BYTES=67108864
MIN_LOG_BYTES=65536
LC_ALL=C
NEWLINE='
'
umask 077

# shellcheck source=shim_rules.sh
. "${0%/*}/shim_rules.sh"
# shellcheck source=shim_measure.sh
. "${0%/*}/shim_measure.sh"
# shellcheck source=shim_closed.sh
. "${0%/*}/shim_closed.sh"
# shellcheck source=shim_space.sh
. "${0%/*}/shim_space.sh"
# shellcheck source=shim_memory.sh
. "${0%/*}/shim_memory.sh"
# shellcheck source=shim_deno.sh
. "${0%/*}/shim_deno.sh"

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
# program; fail where it says nothing that a shim would.
read_shim() {
  read -r want_boot want_pid want_start name 2>/dev/null <"$record" || return 1
  case $name in *[!0-9.-]* | .*) return 1 ;; esac
  is_wanted
}
read_program() { { read -r _ && read -r want_boot want_pid want_start; } 2>/dev/null <"$record" && is_wanted; }
is_wanted() { is_number "$want_pid" $MAX_ID && [ "$want_pid" -gt 1 ] && is_number "$want_start" $MAX_AMOUNT; }
# Sets line to what the record says of the program's end; fails where it says nothing.
read_exit() { { read -r _ && read -r _ && read -r line; } 2>/dev/null <"$record"; }

# True if the wanted process runs, that very one and no later one with its pid; sets pid.
alive() {
  pid=
  [ "$boot" = "$want_boot" ] && stat_of "$want_pid" && [ "$start" = "$want_start" ] &&
    [ "$stat_state" != Z ] && pid=$want_pid
}
program_alive() { read_program && alive; }

# True if the process that stat_of has looked at is one of the control group called `name`.
is_ours() {
  if [ -z "$base" ]; then [ "$session" = "$pid" ]; return; fi
  [ -n "$name" ] || return 1
  while read -r line; do case $line/ in */covey/"$name"/*) return 0 ;; esac; done 2>/dev/null <"/proc/$pid/cgroup"
  return 1
}

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

# Ends the programs of a state folder that was emptied while they ran: nobody knows of them any more, and the tasks would run
# twice. Their shims still hold their records, which the system shows as deleted.
sweep_deleted() {
  boot_id
  find_base
  pattern=$(printf %s "$state" | sed 's/[][\\.*^$|]/\\&/g')
  for link in $(ls -l /proc/[0-9]*/fd/9 2>/dev/null | sed -n "s|.* \\(/proc/[0-9]*/fd/9\\) -> $pattern/runs/.* (deleted)\$|\\1|p"); do
    record=$link
    read_shim && [ "$want_boot" = "$boot" ] && read_program || continue
    leader=$want_pid
    stat_of "$leader" && [ "$start" = "$want_start" ] && is_ours || continue
    kill -s KILL -- "-$leader" 2>/dev/null
    [ -n "$base" ] || sweep_session "$leader"
    kill_groups
  done
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
  if [ -n "$base" ]; then
    # Without it nobody could tell that the program is ours.
    [ -d "$base/$name" ] || mkdir "$base/$name" 2>/dev/null || refuse state "cannot make the control group $base/$name"
    tree=$base/$name groups=$base/$name
  fi
  if [ -n "$memory" ]; then
    { [ -n "$tree" ] && limit_v2 memory memory.max "$memory"; } ||
      limit_v1 memory memory.limit_in_bytes "$memory" || weak_memory=$((memory / 1024))
  fi
  if [ -n "$nano_cpus" ]; then
    quota=$((nano_cpus / 10000))
    { [ -n "$tree" ] && limit_v2 cpu cpu.max "$quota 100000"; } ||
      limit_v1 cpu cpu.cfs_quota_us "$quota" || unlimited="$unlimited NanoCPUs"
  fi
  if [ -n "$processes" ]; then
    { [ -n "$tree" ] && limit_v2 pids pids.max "$processes"; } ||
      limit_v1 pids pids.max "$processes" || weak_processes=$processes
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
  unset IFS
  say "refused $*"
  exit 125
}

# The other user may be allowed less than we are: look once more before saying that it runs. Nobody may be there any more to
# hear it, which must not end the program. It forks nothing: the task may be allowed a single process.
CHECK_AGAIN='number=$1 pid=$2 program=$3 shown=$4 spec=$5
shift 5
[ -x "$program" ] || {
  printf "%s refused %s.Command not executable for this user: %.3000s\n" "$number" "$spec" "$shown" >&3
  exit 125
}
trap "" PIPE
echo "$number started $pid" >&3
trap - PIPE
exec "$@" 3>&-'

# Variables that are secret: from files, as everybody can read a command line. Names that begin so are no task's.
READ_KEPT='for covey_file in "$1"/env/*; do
  covey_value=$(/bin/cat "$covey_file" && echo .) && export "${covey_file##*/}=${covey_value%.}"
done
shift
exec "$@"'

# Sets note to the interpreter that the program's first line names, if it is not there: all that the kernel says of it is 127.
find_lost() {
  line=$(head -c 256 <"$program" | head -n 1) 2>/dev/null
  case $line in '#!'*) ;; *) return ;; esac
  set -f
  set -- ${line#??}
  set +f
  case $1 in /*) [ -e "$1" ] || note="lost $1" ;; esac
}

# Becomes the program. Runs in the shim's child.
become() {
  trap - HUP INT QUIT TERM
  # A new server may have swept away what a killed one had made.
  for dir in $groups; do
    [ -d "$dir" ] || mkdir "$dir"
    echo 0 >"$dir/cgroup.procs" || refuse Resources.Limits "cannot enter $dir"
  done
  if [ -n "$weak_memory" ]; then
    # Deno needs far more addresses than memory.
    if [ -n "$grants" ]; then unlimited="$unlimited MemoryBytes, but for the script's heap"
    else ulimit -v "$weak_memory" || unlimited="$unlimited MemoryBytes"; fi
  fi
  if [ -n "$weak_processes" ]; then
    # That limit is the user's: of a task's own user there is nobody else.
    [ -n "$own" ] && { ulimit -u "$weak_processes" || ulimit -p "$weak_processes"; } 2>/dev/null || unlimited="$unlimited Pids"
  fi
  log=$state/logs/$id.log
  [ -z "$unlimited" ] || echo "covey: not limited, as this device has no cgroup controller for:$unlimited" >>"$log"
  exec <"$input" >>"$log" 2>>"$state/logs/$id+err.log" || refuse log "cannot write $log"
  stat_of self && echo "$boot $pid $start" >&9 || refuse state "cannot write $record"
  exec 9>&-
  cd "${folder:-.}" 2>/dev/null || refuse $spec.Dir "cannot enter $folder"
  umask 022
  # The program's variables come last, given to it alone: what runs before it is ours, and part of it runs as root.
  shown=${program%%"$NEWLINE"*} kept_env=
  [ -z "$kept_names" ] || kept_env="/bin/sh${separator}-c${separator}$READ_KEPT${separator}sh${separator}$kept"
  set -f
  IFS=$separator
  if [ -n "$other$close$enter" ]; then
    trap - PIPE
    exec /usr/bin/setsid $enter $close $drop /bin/sh -c "$CHECK_AGAIN" sh "$number" "$pid" "$program" "$shown" "$spec" \
      /usr/bin/env -i "PATH=$path" $variables $kept_env "$program" $arguments
  fi
  echo "$number started $pid" >&3
  trap - PIPE
  exec /usr/bin/setsid $drop /usr/bin/env -i "PATH=$path" $variables $kept_env "$program" $arguments 3>&-
}

# Sets text to `line` with its newlines.
decode() {
  set -f
  IFS=$newline
  set -- $line$newline
  IFS=$NEWLINE
  text="$*"
  unset IFS
  set +f
}

# Takes the request apart.
take_request() {
  case $separator$newline in [[:cntrl:]][[:cntrl:]]) ;; *) refuse request "no separators" ;; esac
  line=$variables && decode && variables=$text
  line=$arguments && decode && arguments=$text
  line=$options && decode
  set -f
  IFS=$separator
  set -- $text
  unset IFS
  set +f
  [ $# = 12 ] || refuse request "$# options"
  path=$1 user=$2 folder=$3 kept=$4 memory=$5 nano_cpus=$6 processes=$7 closed=$8 devices=$9
  shift 9
  node=$1 command=$2 grants=$3
  for amount in "$memory" "$nano_cpus" "$processes"; do
    [ -z "$amount" ] || is_number "$amount" $MAX_AMOUNT || refuse Resources.Limits "no number: $amount"
  done
}

# Lets the server go on, which waits for this shim's parent. What is started with `&` is not waited for either, but it
# and its children ignore INT and QUIT for good.
abandon() { [ "$parent" = $$ ] || kill -KILL "$parent"; }

# A shim that started nothing has not removed its group either.
leave() {
  [ -z "$base" ] || [ ! -d "$base/$name" ] || rmdir "$base/$name" 2>/dev/null
  say ended
}

# The shim: starts a program, stays until it ends, and writes down how.
run() {
  trap leave EXIT
  stat_of self || refuse state "cannot read /proc"
  abandon
  own_pid=$pid own_start=$start claimed=
  take_request
  check_links
  cd "$state/tasks/$id" || refuse state "cannot enter $state/tasks/$id"
  # The claim: of two shims for one task the second gives up here.
  set -C
  { shim; } 2>/dev/null 9>"$record" || [ -n "$claimed" ] || say claimed
}

shim() {
  claimed=yes
  set +C
  echo "$boot $own_pid $own_start $name" >&9 || refuse state "cannot write $record"
  weak_memory= weak_processes= unlimited= judging=
  apply_rules
  if [ -n "$other" ]; then
    # Its logs, too: programs open /dev/stderr anew.
    { : >>"$state/logs/$id.log" && : >>"$state/logs/$id+err.log"; } 2>/dev/null
    chown "$uid:$gid" . "$state/logs/$id.log" "$state/logs/$id+err.log" 2>/dev/null
    give_kept
  fi
  make_groups
  (become)
  code=$?
  read_program || echo >&9
  [ -n "$base" ] || kill -KILL -- "-$want_pid" 2>/dev/null
  note=
  [ "$code" = 127 ] && find_lost
  [ -n "$memory" ] && was_oom && note=oom
  [ -n "$grants" ] && is_heap_full && note=oom
  clear_groups
  echo "exit $code $note" >&9
}

# Says whether the request would be let in, before anything is made for it.
judge() {
  trap 'say ended' EXIT
  judging=yes
  take_request
  apply_rules
  say fit
}

# Writes the record anew from what runs, where its bytes are not what was written: the shim has it open, and the program is that
# one's only child and leads a session. It gets the same length, as the shim goes on where it was.
mend_record() {
  runs=$(cd "$state/runs" && pwd -P | sed 's/[][\\.*^$|]/\\&/g')
  holder=$(ls -l /proc/[0-9]*/fd/9 2>/dev/null | sed -n "s|.* /proc/\\([0-9]*\\)/fd/9 -> $runs/$id\$|\\1|p")
  is_number "$holder" $MAX_ID && stat_of "$holder" || return 1
  first="$boot $pid $start" second=
  for entry in /proc/[0-9]*; do
    stat_of "${entry#/proc/}" && [ "$parent" = "$holder" ] && [ "$session" = "$pid" ] || continue
    second="$boot $pid $start" name=
    while read -r line; do case $line in */covey/*) name=${line#*/covey/} ;; esac; done 2>/dev/null <"/proc/$pid/cgroup"
    break
  done
  [ -n "$second" ] || return 1
  first="$first ${name%%/*}"
  length=$(($(wc -c <"$record") - ${#first} - 2))
  [ $length -gt 0 ] || length=1
  printf "%s\n%-${length}s\n" "$first" "$second" 1<>"$record"
}

check() {
  cd "$state/tasks/$id" 2>/dev/null || { say gone && return; }
  [ -e "$record" ] || { say new && return; }
  read_exit && say "$line" && return
  { read_shim && alive && program_alive; } || mend_record
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
  tell=
  send_signal "$1"
}

# tell NAME: what is meant for a program is nothing to those that it has started.
tell() {
  tell=yes
  send_signal "$1"
}

send_signal() {
  cd "$state/tasks/$id" 2>/dev/null && read_shim && read_program && [ "$boot" = "$want_boot" ] || { say done && return; }
  leader=$want_pid
  if stat_of "$leader"; then
    if [ "$start" != "$want_start" ] || ! is_ours; then say done && return; fi
    if [ -n "$tell" ]; then kill -s "$1" "$leader" 2>/dev/null; say done && return; fi
    kill -s "$1" -- "-$leader" 2>/dev/null || kill -s "$1" "$leader" 2>/dev/null
  elif [ -z "$base" ] && [ -z "$tell" ]; then
    # A group outlives its leader and keeps the leader's pid from being used again.
    kill -s "$1" -- "-$leader" 2>/dev/null
  fi
  if [ "$1" = KILL ]; then
    [ -n "$base" ] || sweep_session "$leader"
    read_shim
    # Where the shim lives it removes the groups itself.
    if alive; then kill_groups; else clear_groups; fi
  fi
  say done
}

# True while a program of this state folder runs.
any_alive() {
  for record in "$state"/runs/*; do read_exit || { read_shim && alive && return; }; done
  return 1
}

# Bounds the logs while no agent does, as log_keeper.ts would: started when the agent has ended, ends when another one has come or
# no program is left. The next server removes the file; on a full disk there may be none.
keep_logs() {
  exec 3>&- </dev/null
  while sleep 1 && { [ -z "$serving" ] || [ -e "$serving" ]; } && any_alive; do
    set -- "$state"/logs/*.log
    share=$((MAX_TOTAL_LOG_BYTES / 2 / $#))
    [ $share -ge $MIN_LOG_BYTES ] || share=$MIN_LOG_BYTES
    [ $share -le $MAX_LOG_BYTES ] || share=$MAX_LOG_BYTES
    find "$state/logs" -name '*.log.1' -size +$(((share + 511) / 512)) -exec rm -f {} +
    for log in $(find "$state/logs" -name '*.log' -size +$((share / 512))); do
      [ ! -L "$log" ] && [ ! -L "$log.1" ] || continue
      tail -c $share "$log" >"$log.1"
      # Programs append, so it goes on from its start.
      : >"$log"
    done
  done
} 2>/dev/null

# Takes requests. What an agent did not finish asking for is not done.
serve() {
  boot_id && stat_of self || exit 125
  # Nothing that the agent's own parent left open goes on to programs (a shell cannot name those from 10 on).
  exec 3>&1 >/dev/null 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  server=$pid-$start made=0 ahead=1 spare=
  find_base
  find_means
  [ -z "$base" ] || sweep_groups
  if [ -z "$once" ]; then
    set -- "$state"/serving.*
    [ ! -e "$1" ] || rm -f "$@"
    serving=$state/serving.$server
    { : >"$serving"; } 2>/dev/null || serving=
  fi
  # An agent that died meanwhile is no reason not to start a program: PIPE as well.
  trap '' HUP INT QUIT TERM PIPE
  while read -r request number id name; do
    # Lets go of what is remembered of those that looked and signalled.
    jobs
    record=$state/runs/$id
    case $request in
      run | judge)
        separator=${name%% *} newline=${name##* }
        IFS= read -r options && IFS= read -r variables && IFS= read -r arguments || break
        ;;
    esac
    case $number in '' | *[!0-9]*) continue ;; esac
    case $id in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*) say refused request "no ID: $id" && say ended && continue ;; esac
    case $request in
      check) check </dev/null & ;;
      signal) signal "$name" </dev/null & ;;
      tell) tell "$name" </dev/null & ;;
      # Bash runs what `trap` says on EXIT in a subshell of its own only.
      judge) (judge) </dev/null & ;;
      run)
        take_group
        ( (run); :) </dev/null
        ;;
    esac
  done
  set --
  set -f
  for name in $spare; do set -- "$@" "$base/$name"; done
  [ $# = 0 ] || rmdir "$@" 2>/dev/null
  set +f
  [ -n "$once" ] || ! any_alive || keep_logs &
}

state=${2-} once=${3-} entering=
case $1 in
  keep) shift 2 && keep "$@" ;;
  forget) is_id "$3" && find_memory && rm -rf -- "${kept_base:?}/$3" ;;
  measure) measure ;;
  kept) find_memory && [ -d "$kept_base" ] && ls "$kept_base" ;;
  serve) serve ;;
  describe)
    # Asked for before the cluster assigns anything.
    [ -z "$state" ] || sweep_deleted
    while read -r key value _; do [ "$key" = MemTotal: ] && break; done </proc/meminfo
    read -r name </proc/sys/kernel/hostname
    find_means
    find_usual
    echo "$value $usual $name"
    ;;
  facts)
    # shellcheck source=shim_facts.sh
    . "${0%/*}/shim_facts.sh"
    tell_facts
    ;;
  enter | reach | resize | strike | may)
    # shellcheck source=shim_enter.sh
    . "${0%/*}/shim_enter.sh"
    verb=$1
    shift
    "$verb"_task "$@"
    ;;
  connect)
    # shellcheck source=shim_enter.sh
    . "${0%/*}/shim_enter.sh"
    # shellcheck source=shim_connect.sh
    . "${0%/*}/shim_connect.sh"
    shift
    connect_task "$@"
    ;;
  container)
    # shellcheck source=shim_container.sh
    . "${0%/*}/shim_container.sh"
    shift
    judge_container "$@"
    ;;
  *)
    echo "usage: shim.sh serve STATE [once] | describe [STATE] | measure STATE | facts | container | enter | reach | resize | strike | connect | may | keep | forget | kept" >&2
    exit 2
    ;;
esac
