# What may run, and as whom: the part of the shim that decides. Read by shim_server.sh, whose variables it uses.
#
# /etc/covey/allow, if there is one, lists the programs allowed, one absolute path or shell pattern a line (`*` matches `/` too;
# `#` starts a comment). It belongs to root. No file means every program is allowed. With a list, variables that make a program
# run other code than its own (is_loader) are refused.

# /etc/covey/user, if there is one, names the user (USER or USER:GROUP) of tasks that name none. It belongs to root. No file means
# that each such task gets a user of its own, where the agent runs as root.

ALLOW=/etc/covey/allow
DEFAULT_USER=/etc/covey/user
# The users that tasks get begin here, where neither distributions nor containers have any. The number of the shim's process is
# added, which no other task of the device has at the time, and 4194304 at most.
FIRST_TASK_ID=1879048192
# Largest number of a user or group: what is larger wraps, to 0 and to "stay who you are".
MAX_ID=2147483647
# Largest other number, which every shell and the agent can count to.
MAX_AMOUNT=9007199254740991

# is_number TEXT MAX: true for a whole number from 0 to MAX, without leading zeros. Nothing else may reach an arithmetic
# expression: some shells run commands in there.
is_number() {
  case $1 in '' | *[!0-9]* | 0?* | ?????????????????*) return 1 ;; esac
  [ "$1" -le "$2" ]
}

# Sets program to the file that COMMAND names, looked up in the program's own PATH.
find_program() {
  program= found=
  case $1 in
    */*) [ -f "$1" ] && found=$1 && [ -x "$1" ] && program=$1 ;;
    *)
      set -f
      IFS=:
      for dir in $path; do
        [ -f "$dir/$1" ] && found=$dir/$1 && [ -x "$dir/$1" ] && program=$dir/$1 && break
      done
      unset IFS
      set +f
      ;;
  esac
  [ -n "$program" ] && return
  [ -z "$found" ] && refuse $spec.Command "no such program: $1"
  refuse $spec.Command "not executable: $found"
}

# Refuses what is no NAME=TEXT, as it would be taken for an option or the program, and with an allow-list
# what makes a program run other code.
check_variables() {
  n=0
  set -f
  IFS=$separator
  for entry in $variables; do
    variable=${entry%%=*}
    [ "$variable" != "$entry" ] || refuse "$spec.Env[$n]" "must be NAME=value"
    case $variable in '' | [0-9]* | *[!A-Za-z0-9_]*) refuse "$spec.Env[$n]" "must be NAME=value" ;; esac
    [ -z "$grants" ] || ! is_forbidden_to_deno "$variable" || refuse "$spec.Env[$n]" "$variable is refused for deno tasks"
    [ -z "$listed" ] || ! is_loader "$variable" ||
      refuse "$spec.Env[$n]" "$variable is refused while there is $ALLOW"
    n=$((n + 1))
  done
  unset IFS
  set +f
}

# True for a variable by which the dynamic loader, a shell or an interpreter takes code from elsewhere, or finds other programs.
is_loader() {
  case $1 in
    LD_* | GCONV_PATH | GLIBC_TUNABLES | LOCPATH | NLSPATH | OPENSSL_CONF | OPENSSL_MODULES | OPENSSL_ENGINES) ;;
    PATH | IFS | CDPATH | ENV | BASH_ENV | BASH_FUNC_* | BASHOPTS | SHELLOPTS | PS4 | PROMPT_COMMAND | ZDOTDIR | FPATH) ;;
    PERL* | PYTHON* | RUBY* | GEM_* | NODE_* | DENO_* | BUN_* | LUA_* | PHPRC | PHP_INI_SCAN_DIR | TCLLIBPATH | AWKPATH) ;;
    JAVA_TOOL_OPTIONS | _JAVA_OPTIONS | JDK_JAVA_OPTIONS | CLASSPATH | DOTNET_* | CORECLR_* | GUILE_* | AWKLIBPATH) ;;
    *) return 1 ;;
  esac
}

check_allowed() {
  [ -n "$listed" ] || return 0
  # The device's list of what may be done inside of tasks has let it in.
  case ${kind-} in copy-*) return ;; esac
  program=$(readlink -f -- "$program")
  [ -n "$policy" ] && is_let_in program "$program" && return
  is_listed "$program" "$ALLOW" || refuse $spec.Command "not allowed by $ALLOW: $program"
}

# is_listed TEXT FILE: true if one of the file's patterns matches.
is_listed() {
  while read -r pattern || [ -n "$pattern" ]; do
    case $pattern in '' | '#'*) continue ;; esac
    case $1 in $pattern) return 0 ;; esac
  done 2>/dev/null <"$2"
  return 1
}

# Sets why_not to why a list that only root may write lets nothing in; empty where it may.
find_why_not() {
  why_not=
  if [ ! -f "$1" ]; then why_not="as this device has no $1 that says so"
  elif [ ! -r "$1" ]; then why_not="as the agent cannot read $1"
  elif [ "$(stat -L -c %u -- "$1")" != 0 ]; then why_not="as $1 does not belong to root"
  else
    case $(stat -L -c %A -- "$1") in
      ?????w* | ????????w?) why_not="as others than root may write $1" ;;
    esac
  fi
}

# Sets listed if there is an allow-list, or where one could be that we may not see.
find_list() {
  listed=
  [ -e "$ALLOW" ] || { [ -d "${ALLOW%/*}" ] && [ ! -x "${ALLOW%/*}" ]; } && listed=yes
}

# Sets me to who we are, and changer and locker to what changes the user and what keeps a program from getting more rights than it
# begins with. They are looked up once, as each look is a process.
find_means() {
  me=$(id -u) my_group=$(id -g) changer= locker=
  look_for setpriv && setpriv=$found && case $("$setpriv" --help 2>&1) in
    *--reuid*) changer=setpriv locker=--no-new-privs ;;
    *--nnp*) locker=--nnp ;;
  esac
  [ -n "$changer" ] || { look_for su-exec || look_for gosu; changer=$found; }
}

# Sets found to the program called NAME; busybox would name its own, whatever else is there.
look_for() {
  IFS=:
  for dir in $PATH; do found=$dir/$1 && [ -x "$found" ] && break; found=; done
  unset IFS
  [ -n "$found" ]
}

# Sets drop to the command before a task's program, with separators: it changes to `user`, unless that is who we are, and locks
# what the program may become. Sets other if it changes the user, unnamed if the task did not say
# which, and own if it is a user of its own.
find_user() {
  other= uid= gid= unnamed= own= more=--clear-groups
  [ -n "$user" ] || find_default_user
  [ -z "$user" ] || find_ids
  { [ -z "$uid" ] || { [ "$uid" = "$me" ] && [ "$gid" = "$my_group" ]; }; } || other=yes
  set --
  [ -z "$locker" ] || set -- "$setpriv" $locker
  if [ -n "$other" ]; then
    [ "$me" = 0 ] || refuse $spec.User "only an agent that runs as root can run programs as $user"
    case $changer in
      setpriv)
        set -- "$@" --reuid "$uid" --regid "$gid"
        if [ -z "$device_groups" ]; then set -- "$@" "$more"
        elif [ "$more" = --clear-groups ]; then set -- "$@" --groups "$device_groups"
        else set -- "$@" --groups "$(id -G -- "$who" | tr ' ' ,),$device_groups"; fi
        ;;
      '') refuse $spec.User "cannot change the user: this device has none of setpriv (of util-linux), su-exec and gosu" ;;
    esac
  fi
  [ $# = 0 ] || set -- "$@" --
  case $other$changer$device_groups in yes/*[0-9]) refuse $spec.Devices "groups of devices take setpriv, which this device has not" ;; esac
  case $other$changer in yes/*) set -- "$@" "$changer" "$uid:$gid" ;; esac
  IFS=$separator
  drop="$*"
  unset IFS
}

# Says who a task runs as that does not say it: for an agent without root's rights that is the agent's own user.
find_default_user() {
  [ "$me" = 0 ] || return 0
  unnamed=yes
  if [ -e "$DEFAULT_USER" ]; then
    read -r user <"$DEFAULT_USER"
    [ -n "$user" ] || refuse $spec.User "no user in the first line of $DEFAULT_USER"
    return
  fi
  own=yes uid=$((FIRST_TASK_ID + ${own_pid:-0})) gid=$uid
  is_mapped || refuse $spec.User "this machine has no numbers of users from $FIRST_TASK_ID on, name one in $DEFAULT_USER"
}

# Sets usual to who runs a task that names no user: `own` for one of each task's own, `named` for who is in the device's file,
# `agent` for the agent's own user, `none` if nobody can.
find_usual() {
  if [ "$me" != 0 ]; then usual=agent
  elif [ -e "$DEFAULT_USER" ]; then usual=named
  elif uid=$FIRST_TASK_ID && [ -n "$changer" ] && is_mapped; then usual=own
  else usual=none; fi
}

# True if uid is a number that this machine has: a container may have few.
is_mapped() {
  [ -e /proc/self/uid_map ] || return 0
  while read -r first _ count; do
    [ "$uid" -ge "$first" ] && [ $((uid - first)) -lt "$count" ] && return
  done </proc/self/uid_map
  return 1
}

# Sets uid, gid and more to what `user` stands for.
find_ids() {
  who=${user%%:*} group=${user#"$who"} group=${group#:} more=--init-groups
  case $who in
    '' | [!A-Za-z0-9_]*) refuse $spec.User "no such user: $who" ;;
    *[!0-9]*) ;;
    *) is_number "$who" $MAX_ID || refuse $spec.User "no number of a user, which is 0 to $MAX_ID: $who" ;;
  esac
  uid=$(id -u -- "$who" 2>/dev/null) gid=$(id -g -- "$who" 2>/dev/null)
  if [ -z "$uid" ]; then
    case $who in *[!0-9]*) refuse $spec.User "no such user: $who" ;; esac
    [ -n "$group" ] || refuse $spec.User "user $who is unknown here and so needs a group: $who:GROUP"
    uid=$who more=--clear-groups
  fi
  if [ -n "$group" ]; then
    more=--clear-groups
    case $group in
      *[!0-9]*) gid=$(find_group "$group") && [ -n "$gid" ] || refuse $spec.User "no such group: $group" ;;
      *) gid=$group ;;
    esac
  fi
  is_number "$uid" $MAX_ID || refuse $spec.User "no number of a user, which is 0 to $MAX_ID: $uid"
  is_number "$gid" $MAX_ID || refuse $spec.User "no number of a group, which is 0 to $MAX_ID: $gid"
}

# Decides on a request; sets program, drop and, for a deno task, arguments, variables and input.
apply_rules() {
  spec=ProcessSpec input=/dev/null policy=
  find_list
  [ -z "$grants" ] || take_grants
  find_program "$command"
  case $program in *=*) refuse $spec.Command "no program whose path has = in it can be run: $program" ;; esac
  check_allowed
  check_variables
  [ -z "$grants" ] || variables=$DENO_VARIABLES$variables
  find_kept
  find_devices
  find_user
  find_closed
  find_space
}

find_group() {
  while IFS=: read -r name _ gid _; do [ "$name" = "$1" ] && echo "$gid" && return; done </etc/group
  return 1
}

# The agent cannot make symbolic links, but programs can.
check_links() {
  for file in tasks "tasks/$id" runs logs "logs/$id.log" "logs/$id+err.log" scripts "scripts/$id"; do
    [ ! -L "$state/$file" ] || refuse state "$state/$file is a symbolic link"
  done
}
