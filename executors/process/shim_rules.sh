# What may run, and as whom: the part of the shim that decides. Read by shim_server.sh, whose variables it uses.
#
# /etc/covey/allow, if there is one, lists the programs allowed, one absolute path or shell pattern a line (`*` matches `/` too;
# `#` starts a comment). It belongs to root. No file means every program is allowed. With a list, variables that make a program
# run other code than its own (is_loader) are refused.

ALLOW=/etc/covey/allow
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
  program=$(readlink -f -- "$program")
  [ -n "$policy" ] && is_let_in program "$program" && return
  while read -r pattern || [ -n "$pattern" ]; do
    case $pattern in '' | '#'*) continue ;; esac
    case $program in $pattern) return 0 ;; esac
  done <"$ALLOW"
  refuse $spec.Command "not allowed by $ALLOW: $program"
}

# Sets listed if there is an allow-list, or where one could be that we may not see.
find_list() {
  listed=
  [ -e "$ALLOW" ] || { [ -d "${ALLOW%/*}" ] && [ ! -x "${ALLOW%/*}" ]; } && listed=yes
}

# Sets drop to the command that changes to `user`, with separators; empty when that is who we are.
find_user() {
  drop=
  [ -n "$user" ] || return 0
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
  me=$(id -u)
  [ "$uid" = "$me" ] && [ "$gid" = "$(id -g)" ] && return
  [ "$me" = 0 ] || refuse $spec.User "only an agent that runs as root can run programs as $user"
  if command -v setpriv >/dev/null && setpriv --help 2>&1 | grep -q reuid; then
    set -- "$(command -v setpriv)" --reuid "$uid" --regid "$gid" "$more" --
  elif command -v su-exec >/dev/null; then
    set -- "$(command -v su-exec)" "$uid:$gid"
  elif command -v gosu >/dev/null; then
    set -- "$(command -v gosu)" "$uid:$gid"
  else
    refuse $spec.User "cannot change the user: this device has none of setpriv, su-exec and gosu"
  fi
  IFS=$separator
  drop="$*"
  unset IFS
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
  find_user
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
