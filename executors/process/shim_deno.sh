# What a deno task may do: the part of the shim that makes Deno's permissions of what a task names. Read by shim_server.sh, whose
# variables it uses. The agent names permissions only, never flags.
#
# A request's grants are lines, KIND VALUE, with `*` as the value for everything of a kind:
#   Net HOST[:PORT] | Read PATH | Write PATH | Env NAME | Run PATH | Sys NAME | FFI PATH   permissions
#   Module PATH    the file that is to run, if it is one of the device
#   Heap MIB       most that the script's heap may hold; 0 is no limit
#
# /etc/covey/deno, if there is one, lists what may be granted: `net`, `read`, `write`, `env`, `run`, `sys`, `ffi` or `module`, and an
# exact value or shell pattern a line (`*` matches `/` too; `#` starts a comment). A bare `*` also lets in everything of its kind.
# `program` names the Deno that may run where /etc/covey/allow does not. It belongs to root. No file means that all is let in
# that is named, but for `run` and `ffi`, which lead out of Deno's sandbox, and nothing in which a kind as a whole is asked for.

POLICY=/etc/covey/deno
# A folder that cannot be: Deno caches nothing on the device's card, and no script stores without a permission to write.
DENO_VARIABLES_LIST='DENO_DIR=/dev/null DENO_NO_UPDATE_CHECK=1 DENO_NO_PACKAGE_JSON=1 NO_COLOR=1'
# Nothing is fetched, asked for, or read besides what the task names: no configuration, no lock file, no package.
DENO_FLAGS='run --quiet --no-prompt --no-remote --no-npm --cached-only --no-config --no-lock --no-code-cache --node-modules-dir=none'

# Sets arguments, input and the rest of what apply_rules needs for a deno task.
take_grants() {
  spec=DenoSpec input=$state/scripts/$id flags= DENO_VARIABLES=
  [ -f "$input" ] || [ -n "$judging" ] || refuse state "no script at $input"
  find_policy
  for word in $DENO_VARIABLES_LIST; do DENO_VARIABLES=$DENO_VARIABLES$word$separator; done
  for word in $DENO_FLAGS; do flags=$flags$word$separator; done
  set -f
  IFS=$NEWLINE
  set -- $grants
  unset IFS
  set +f
  for grant; do take_grant "${grant%% *}" "${grant#* }"; done
  arguments=$flags-$separator$arguments
}

# take_grant KIND VALUE: adds the flag for a grant to flags.
take_grant() {
  field=DenoSpec.Permissions.$1 value=$2
  case $1 in
    Net) kind=net && check_host ;;
    Read) kind=read && check_path ;;
    Write) kind=write && check_path ;;
    Run) kind=run && check_path ;;
    FFI) kind=ffi && check_path ;;
    Env) kind=env && check_word ;;
    Sys) kind=sys && check_word ;;
    Module) kind=module field=DenoSpec.Module && check_module ;;
    Heap)
      is_number "$2" $MAX_AMOUNT || refuse Resources.Limits "no number: $2"
      [ "$2" = 0 ] || flags=$flags--v8-flags=--max-old-space-size=$2$separator
      return
      ;;
    *) refuse request "no permission: $1" ;;
  esac
  is_let_in $kind "$value" || forbid
  [ $kind != module ] || kind=read
  if [ "$2" = '*' ]; then flags=$flags--allow-$kind$separator; else flags=$flags--allow-$kind=$2$separator; fi
}

forbid() {
  if [ -n "$policy" ]; then refuse "$field" "not let in by $POLICY: $value"; fi
  refuse "$field" "not let in, as this device has no $POLICY that says so: $value"
}

check_host() {
  case $value in
    '*') ;;
    '' | -* | *[!][A-Za-z0-9._:-]* | unix:* | vsock:*) refuse "$field" "no HOST or HOST:PORT: $value" ;;
  esac
}

check_word() {
  case $value in '*') ;; '' | [0-9]* | *[!A-Za-z0-9_]*) refuse "$field" "no name: $value" ;; esac
}

# Sets value to what the path leads to, for the policy. What Deno gets is the path as it was named.
check_path() {
  case $value in
    '*') return ;;
    .)
      case $kind in read | write) ;; *) refuse "$field" "no absolute path: ." ;; esac
      # The task's own folder is its own, whatever the policy.
      value=${folder:-.}
      ;;
    /*) ;;
    *) refuse "$field" "no absolute path: $value" ;;
  esac
  case $value/ in *,* | *//*/* | */./* | */../*) [ "$value" = . ] || refuse "$field" "has a comma, //, . or .. in it: $value" ;; esac
  [ "$value" = . ] || [ -z "$policy" ] || value=$(readlink -f -- "$value") || refuse "$field" "leads nowhere: $2"
}

check_module() {
  [ "$value" != '*' ] && [ -f "$value" ] || refuse "$field" "no such file: $value"
  check_path
}

# is_let_in KIND VALUE: true if the policy, or where there is none the default, lets a task have it.
is_let_in() {
  [ "$1 $2" != 'read .' ] && [ "$1 $2" != 'write .' ] || return 0
  if [ -z "$policy" ]; then
    case $1 in run | ffi) return 1 ;; esac
    [ "$2" != '*' ]
    return
  fi
  while read -r entry pattern || [ -n "$entry" ]; do
    [ "$entry" = "$1" ] || continue
    if [ "$2" = '*' ]; then [ "$pattern" != '*' ] || return 0; continue; fi
    case $2 in $pattern) return 0 ;; esac
  done 2>/dev/null <"$POLICY"
  return 1
}

# Sets policy if there is one, or where one could be that we may not see.
find_policy() {
  policy=
  [ -e "$POLICY" ] || { [ -d "${POLICY%/*}" ] && [ ! -x "${POLICY%/*}" ]; } && policy=yes
}

# True for a variable that makes Deno run other code, lifts what it is kept from, or has it write or send by itself.
is_forbidden_to_deno() {
  case $1 in OTEL_* | SSLKEYLOGFILE) ;; *) is_loader "$1" ;; esac
}

# True if a script was ended by its own heap, which Deno says and then aborts; no script can abort by itself.
is_heap_full() {
  case $code in 133 | 134) ;; *) return 1 ;; esac
  tail -c 16384 -- "$state/logs/$id+err.log" | grep -q '^# Fatal .*out of memory'
}
