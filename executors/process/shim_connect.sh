# Leads to a port of a running task: the part of the shim that decides which, and starts what connects. Read by shim_server.sh when it
# is asked; shim_enter.sh has what it shares with entering.

# connect_task STATE SLOT DENO PORT SERVICE process ID | container CONTAINER PID: answers  connect refused FIELD MESSAGE  or becomes
# forward.js, which says `ready`, listens at STATE/forward/SLOT/s, and ends with standard input. Of a process's ports those count at
# which the task's own programs listen, as all programs of the device share its addresses.
connect_task() {
  state=$1 slot=$2 command=$3 port=$4 service=$5 kind=$6 number=connect spec=Task
  is_number "$slot" 99 && is_number "$port" 65535 || exit 125
  shift 6
  exec 3>&1
  boot_id && stat_of self || refuse state "cannot read /proc"
  mine=$pid separator=$(printf '\001') path=$PATH device_groups= user=
  find_base
  find_means
  find_whether_let_in forward "$service"
  [ -z "$why_not" ] || refuse Task "$why_not"
  case $kind in
    process)
      id=$1
      is_id "$id" || refuse request "no ID: $id"
      find_running
      find_listener
      ;;
    container)
      case $1 in '' | *[!0-9a-f]*) refuse request "no container: $1" ;; esac
      leader=$2 host=127.0.0.1
      is_number "$leader" $MAX_ID && grep -q "$1" "/proc/$leader/cgroup" 2>/dev/null || refuse Task "it does not run"
      [ "$(readlink "/proc/$leader/ns/net")" != "$(readlink /proc/self/ns/net)" ] ||
        refuse Task "its network is the device's own, and so its ports are not its own"
      ;;
    *) refuse request "no kind: $kind" ;;
  esac
  find_spaces net
  find_list
  find_policy
  find_program "$command"
  check_allowed
  own_pid=$mine
  find_user
  become_connector
}

# Sets host to the address at which a program of the task listens at the port.
find_listener() {
  hex=$(printf '%04X' "$port")
  sockets=$(awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $2, $10 }' \
    "/proc/$leader/net/tcp" "/proc/$leader/net/tcp6" 2>/dev/null)
  pids=$(members)
  host=
  while read -r at inode; do
    [ -n "$inode" ] && holds "$inode" || continue
    case ${at%:*} in
      00000000 | 0100007F | 00000000000000000000000000000000) host=127.0.0.1 ;;
      00000000000000000000000001000000) host=::1 ;;
      ????????) host=$(printf '%d.%d.%d.%d' "0x$(echo "$at" | cut -c7-8)" "0x$(echo "$at" | cut -c5-6)" \
        "0x$(echo "$at" | cut -c3-4)" "0x$(echo "$at" | cut -c1-2)") ;;
    esac
    [ -z "$host" ] || return 0
  done <<SOCKETS
$sockets
SOCKETS
  refuse Task "no program of it listens at port $port"
}

# The processes of the task.
members() {
  if [ -n "$base" ]; then cat "$base/$name/cgroup.procs"; return; fi
  for entry in /proc/[0-9]*; do
    stat_of "${entry#/proc/}" && [ "$session" = "$leader" ] && echo "$pid"
  done
}

holds() {
  for member in $pids; do
    ls -l "/proc/$member/fd" 2>/dev/null | grep -q "socket:\[$1\]" && return
  done
  return 1
}

become_connector() {
  place=$state/forward
  [ ! -L "$place" ] && { [ -d "$place" ] || mkdir -m 711 "$place"; } && rm -rf "$place/$slot" && mkdir -m 700 "$place/$slot" &&
    cp "${0%/*}/forward.js" "$place/$slot/forward.js" && chmod 755 "$place/$slot/forward.js" ||
    refuse state "cannot write $place"
  [ -z "$other" ] || chown -R "$uid:$gid" "$place/$slot" || refuse state "cannot give $place/$slot away"
  shown=$host
  case $host in *:*) shown="[$host]" ;; esac
  # Where the space is another one, the way there is not.
  cd "$place/$slot" || refuse state "cannot enter $place/$slot"
  umask 077
  set -f
  set -- $DENO_FLAGS "--v8-flags=--max-old-space-size=32,--max-semi-space-size=1,--lite-mode" "--allow-net=$shown:$port,unix:$place/$slot/s" \
    "--allow-read=$place/$slot/s" "--allow-write=$place/$slot/s" "$place/$slot/forward.js" "$place/$slot/s" "$host" "$port"
  IFS=$separator
  exec 3>&-
  exec $spaces${drop:+$drop$separator}/usr/bin/env -i DENO_DIR=/dev/null DENO_NO_UPDATE_CHECK=1 NO_COLOR=1 "$program" "$@"
}
