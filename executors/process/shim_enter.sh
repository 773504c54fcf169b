# What somebody does inside of a running task: the part of the shim that decides and does it. Read by shim_server.sh when it is asked.
#
# /etc/covey/exec, if there is one, lists what is let in, a kind (`exec`, `copy` or `forward`) and the exact name or shell pattern of a
# service a line (`#` starts a comment): `exec web`, `copy *`. It belongs to root, and nobody else may write it. An empty one lets
# nothing in; no file means that all is let in. What a command may be says /etc/covey/allow, as for tasks.

ENTER=/etc/covey/exec
MAX_SIZE=4096

# Gives a program a terminal. Its words are in a variable, which the program does not get: `script` takes a command as a text only.
IN_TERMINAL='stty rows "$COVEY_ROWS" cols "$COVEY_COLUMNS" 2>/dev/null
set -f
IFS=$COVEY_SEPARATOR
exec $COVEY_WORDS'

# may_task KIND SERVICE: answers  let in | refused MESSAGE.
may_task() {
  state=
  find_whether_let_in "$1" "$2"
  if [ -n "$why_not" ]; then printf 'refused %s\n' "$why_not"; else echo 'let in'; fi
}

# Sets why_not to why the device does not let it in; empty where it does.
find_whether_let_in() {
  why_not=
  case $1 in exec | copy | forward) ;; *) why_not="no kind of thing to do: $1"; return ;; esac
  # Where we may not see whether there is one, there is.
  [ -e "$ENTER" ] || { [ -d "${ENTER%/*}" ] && [ ! -x "${ENTER%/*}" ]; } || return 0
  find_why_not "$ENTER"
  POLICY=$ENTER policy=yes
  if [ -n "$why_not" ]; then why_not="$1 into tasks of $2 is not let in, $why_not"
  elif ! is_let_in "$1" "$2"; then why_not="$1 into tasks of $2 is not let in by $ENTER"; fi
}

# enter_task STATE: one line on standard input, ID KIND SEPARATOR NEWLINE ROWS COLUMNS SERVICE, then three as `run` takes them; what
# follows is the program's input. Answers with one line,
#   enter started PID | enter refused FIELD MESSAGE
# and becomes the program, with the user, the variables, the folder and the limits of the task, and what it sees of the device.
# KIND is exec, exec-alone for one whose input and output lead nowhere, copy-from or copy-to, for which the one argument is a path, and the program tar.
enter_task() {
  state=$1 number=enter entering=yes judging=yes
  exec 3>&1
  boot_id && stat_of self || refuse state "cannot read /proc"
  find_base
  find_means
  read -r id kind separator newline rows columns service || exit 125
  IFS= read -r options && IFS= read -r variables && IFS= read -r arguments || exit 125
  is_id "$id" || refuse request "no ID: $id"
  find_whether_let_in "${kind%%-*}" "$service"
  [ -z "$why_not" ] || refuse Task "$why_not"
  find_running
  take_request
  # What shuts the task in was made when it started; a command is no script.
  grants= closed= devices=
  case $kind in
    exec | exec-alone) apply_rules ;;
    copy-*) take_copy && apply_rules ;;
    *) refuse request "no kind: $kind" ;;
  esac
  find_spaces mnt net
  [ -z "$base" ] || join_groups
  [ -z "$memory" ] || [ -n "$base" ] || ulimit -v "$((memory / 1024))" 2>/dev/null
  become_inside
}

# Sets own_pid to the process whose number gave the task its user, name to its control group, and leader to its program.
find_running() {
  record=$state/runs/$id
  cd "$state/tasks/$id" 2>/dev/null && read_shim && alive || refuse Task "it does not run"
  own_pid=$want_pid group=$name
  program_alive || refuse Task "it does not run"
  leader=$pid name=$group
}

# Sets command and arguments to those of tar for the path.
take_copy() {
  place=${arguments%"$separator"}
  case $place in '' | *"$separator"*) refuse Path "no path" ;; esac
  while [ "$place" != / ] && [ "${place%/}" != "$place" ]; do place=${place%/}; done
  case $place in
    /) parent=/ last=. ;;
    */*) parent=${place%/*} last=${place##*/} parent=${parent:-/} ;;
    *) parent=. last=$place ;;
  esac
  look_for tar || refuse Path "this device has no program tar"
  command=$found
  [ "$last" = . ] || last=./$last
  case $kind in
    copy-from) set -- -cf - -C "$parent" -- "$last" ;;
    copy-to) set -- -xof - -C "$place" ;;
    *) refuse request "no kind: $kind" ;;
  esac
  IFS=$separator
  arguments="$*$separator"
  unset IFS
}

# find_spaces KIND...: sets spaces to the command that enters what the task sees of the device (`mnt`: its file systems, `net`: its
# addresses), if that is not what we see; with separators.
find_spaces() {
  spaces=
  wanted=$*
  set --
  for space in $wanted; do
    theirs=$(readlink "/proc/$leader/ns/$space" 2>/dev/null) || continue
    [ "$theirs" = "$(readlink "/proc/self/ns/$space")" ] || set -- "$@" "--$space"
  done
  [ $# -gt 0 ] || return 0
  look_for nsenter || refuse Task "what it sees of the device is its own, and this device has no nsenter to get there"
  nsenter=$found more=
  case " $* " in *' --mnt '*) more=-m ;; esac
  case " $* " in *' --net '*) more=$more${more:+$separator}-n ;; esac
  spaces=$nsenter$separator-t$separator$leader$separator$more$separator--$separator
}

join_groups() {
  find_groups
  for dir in $left; do
    echo 0 >"$dir/cgroup.procs" || refuse Resources.Limits "cannot enter $dir"
  done 2>/dev/null
}

become_inside() {
  place=${folder:-$state/tasks/$id}
  cd "$place" 2>/dev/null || refuse "$spec.Dir" "cannot enter $place"
  umask 022
  kept_env= shell=
  [ -z "$kept_names" ] || kept_env="/bin/sh${separator}-c${separator}$READ_KEPT${separator}sh${separator}$kept$separator"
  words="/usr/bin/env${separator}-i${separator}PATH=$path$separator"
  if [ -n "$rows" ] && [ "$rows" != - ]; then
    is_number "$rows" $MAX_SIZE && is_number "$columns" $MAX_SIZE || refuse Terminal "no size: $rows $columns"
    look_for script || refuse Terminal "this device has no program script, which gives one"
    shell=$found words="${words}TERM=xterm$separator"
  fi
  words="$words$variables$kept_env$program$separator$arguments"
  # Entering leads to the root folder.
  [ -z "$spaces" ] ||
    spaces="$spaces/bin/sh${separator}-c${separator}cd \"\$1\" && shift && exec \"\$@\"${separator}sh$separator$place$separator"
  stat_of self
  echo "$number started $pid"
  exec 3>&-
  [ "$kind" != exec-alone ] || exec </dev/null >/dev/null 2>&1
  set -f
  IFS=$separator
  [ -n "$shell" ] || exec $spaces${drop:+$drop$separator}$words
  exec $spaces${drop:+$drop$separator}/usr/bin/env -i SHELL=/bin/sh "PATH=$PATH" "COVEY_ROWS=$rows" "COVEY_COLUMNS=$columns" \
    "COVEY_SEPARATOR=$separator" "COVEY_WORDS=$words" "$shell" -qefc "$IN_TERMINAL" /dev/null
}

# reach_task STATE ID PID NAME
reach_task() {
  is_inside "$@" && case $4 in HUP | INT | QUIT | TERM | KILL | USR1 | USR2) kill -s "$4" -- "-$pid" 2>/dev/null ;; esac
}

# strike_task CONTAINER PID NAME: signals the process group that PID leads, if it is one of the container's.
strike_task() {
  case $1 in '' | *[!0-9a-f]*) return ;; esac
  is_number "$2" $MAX_ID && [ "$2" -gt 1 ] && stat_of "$2" && grep -q "$1" "/proc/$2/cgroup" || return 0
  case $3 in HUP | INT | QUIT | TERM | KILL | USR1 | USR2) ;; *) return ;; esac
  kill -s "$3" -- "-$2" 2>/dev/null || kill -s "$3" "$2" 2>/dev/null
}

# resize_task STATE ID PID ROWS COLUMNS: the terminal is that of the child of `script`.
resize_task() {
  is_inside "$@" && is_number "$4" $MAX_SIZE && is_number "$5" $MAX_SIZE || return 0
  for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
    { read -r line; } 2>/dev/null <"/proc/$child/stat" || continue
    set -f
    set -- "$4" "$5" ${line##*) }
    set +f
    # Major number 136, and more of them: the minor one is in two parts.
    terminal=$((($7 & 255) | (($7 >> 12) & 1048320)))
    [ $((($7 >> 8) & 4095)) = 136 ] && stty -F "/dev/pts/$terminal" rows "$1" cols "$2" 2>/dev/null
    return 0
  done
}

# is_inside STATE ID PID ...: true if PID leads a session of the task's; sets pid.
is_inside() {
  state=$1 id=$2
  is_id "$id" && is_number "$3" $MAX_ID && [ "$3" -gt 1 ] || return 1
  boot_id
  find_base
  record=$state/runs/$id
  # Without control groups nobody can tell whose it is: who started it signals it then.
  [ -n "$base" ] && read_shim && stat_of "$3" && [ "$session" = "$pid" ] && is_ours
}
