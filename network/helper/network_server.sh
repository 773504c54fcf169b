#!/bin/sh
# Makes and removes the node's part of the cluster's networks, as root, by a fixed set of verbs.
#   network_server.sh serve NODE      NODE is the node's ID
# It reads requests from its input, a line each, `VERB NUMBER WORD...`, and answers `NUMBER ok TEXT` or `NUMBER error WHY`. Words
# are numbers, IPv4 addresses and names of protocols, and nothing else: each is checked, none is ever run. What is asked for twice
# is done once. The input's end is its end; what it made stays.
#
# All of it is in a network namespace of its own, so that neither the host's routes nor its firewall have anything to do with
# it, and removing the namespace removes it:
#
#     the host                    | the namespace covey-NODE              N: the network's identifier in hexadecimal
#     containers (macvlan) -- cvpN === cvqN -- cvbN (bridge) -- cvxN (VXLAN, whose packets the host carries)
#     published ports, names -- cvlink === cvup, 169.254.77.2: the way out
#
# The host itself gets cvlink with a route, the cvpN, and while ports are published or programs have a way out a table of nft
# (covey) and, where its firewall is not simply open, two rules that let cvlink pass.
#
# Verbs:
#   probe                                     what this host lacks, in words
#   network VNI PORT MTU CARRIER MAC|-        a network's devices; MTU 0: what CARRIER (an address, or -) leaves
#   addresses VNI ADDR/BITS...                all addresses of the bridge, the one with the subnet's mask first
#   table VNI ADDR@HOST...                    all addresses that are elsewhere, and where
#   rules [node:VNI:ADDR | dns:ADDR | from:ADDR:PLACE | vip:ADDR:ADDR,... | port:PROTOCOL:PORT:TARGET:ADDR,... | open:VNI |
#         closed:VNI | relay:ADDR]...         all of them; ADDR of a vip may be `relay`, for one that is elsewhere and relayed
#   relayed ADDR PORT                         where a connection from there was to go: ADDR PORT
#   serve [vip:ADDR:ADDR,... | port:PROTOCOL:PORT:TARGET:ADDR,...]...    who serves now, of what the rules have already
#   askers [from:ADDR:PLACE]...               all who ask for names, for rules that are there
#   near [at:PID:ADDR[:part] | own:TASK:ADDR[:part] | vip:ADDR:ADDR,...]...    for each task that is named, by a process in its
#                                             namespace or by its own one, and by an address that it has: what follows are the
#                                             addresses of services that it translates itself; those of others, and all if none
#                                             follow, are the namespace's. With `part` those that it has already change, and
#                                             no others
#   keep VNI...                               removes all other networks
#   join TASK GATEWAY|- NAMES|- VNI@ADDR/BITS...    a network namespace covey-NODE-TASK for a program, with a device in each network,
#                                             the way out, and a file with who is asked for names, which the program's shim lays
#                                             over the host's; answers nothing
#   part TASK                                 removes it
#   tasks TASK...                             removes those of all other tasks
#   leave                                     removes everything
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
here=$(CDPATH='' cd -- "${0%/*}" && pwd -P)
HOST_SIDE=169.254.77.1 SPACE_SIDE=169.254.77.2 ASKERS=169.254.80.0/20
# Smallest packet that every host must take (RFC 791), and what VXLAN adds to each.
MIN_MTU=576 OVER=50
MAX_VNI=16777215
# A task that may change its own namespace can make it slow to look into.
NEAR_SECONDS=5
# Whom programs in networks ask for names, a file for each.
NAMES=/run/covey-names

[ "${1-}" = serve ] || { echo "usage: network_server.sh serve NODE" >&2; exit 2; }
case ${2-} in '' | *[!a-z0-9]* | ?????????????????????????????????*) echo "Cannot serve: no node's ID" >&2; exit 2 ;; esac
space=covey-$2

fail() { echo "$*"; exit 1; }

# is_number TEXT MAX: a whole number from 0 to MAX, without leading zeros; see shim_rules.sh.
is_number() {
  case $1 in '' | *[!0-9]* | 0?* | ?????????????*) return 1 ;; esac
  [ "$1" -le "$2" ]
}

is_address() {
  case $1 in '' | *[!0-9.]* | *..* | .* | *. | *.*.*.*.* ) return 1 ;; *.*.*.*) ;; *) return 1 ;; esac
  old=$IFS IFS=.
  for part in $1; do is_number "$part" 255 || { IFS=$old; return 1; }; done
  IFS=$old
}

need_vni() {
  is_number "${1-}" $MAX_VNI && [ "$1" -gt 0 ] || fail "no identifier of a network: ${1-}"
  id=$(printf %x "$1")
}

need_task() {
  case ${1-} in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*) fail "no ID of a task: ${1-}" ;; esac
  [ ${#1} -le 128 ] || fail "no ID of a task: $1"
  own=$space-$1
}

is_there() { [ -e "/run/netns/$1" ] && nsenter --net="/run/netns/$1" true 2>/dev/null; }
# Who is killed while he makes one leaves a name behind that leads nowhere.
make_space() { is_there "$1" || { rm -f "/run/netns/$1" && ip netns add "$1"; }; }
inside() { nsenter --net="/run/netns/$space" "$@"; }
has() { ip link show dev "$1" >/dev/null 2>&1; }
has_inside() { ip -n "$space" link show dev "$1" >/dev/null 2>&1; }
owner() { ip -o link show dev cvlink 2>/dev/null | sed -n 's/.*alias \(covey-[a-z0-9]*\).*/\1/p'; }

check_owner() {
  has cvlink || return 0
  [ "$(owner)" = "$space" ] || fail "the networks of this host are another node's: $(owner)"
}

probe() {
  [ "$(id -u)" = 0 ] || fail "the agent does not run as root"
  for program in ip bridge nft nsenter unshare awk; do
    command -v $program >/dev/null || fail "this host has no program $program (Debian: iproute2, nftables, util-linux)"
  done
  check_owner
  # In a namespace that goes with the shell in it.
  unshare --net sh -s <<'TRY'
try() { what=$1; shift; "$@" >/dev/null 2>&1 || { echo "this kernel has no $what"; exit 1; }; }
try "bridges (module bridge)" ip link add try0 type bridge
try "veth pairs (module veth)" ip link add try1 type veth peer name try2
try "VXLAN (module vxlan; Ubuntu for Raspberry Pi has it in linux-modules-extra-raspi)" ip link add try3 type vxlan id 4096 dstport 4789 nolearning proxy
try "macvlan (module macvlan; Ubuntu for Raspberry Pi has it in linux-modules-extra-raspi)" ip link add try4 link try1 type macvlan mode bridge
try "address translation by nft (modules nf_tables, nft_chain_nat, nft_numgen)" nft \
  'table ip t { chain c { type nat hook prerouting priority -100; ip daddr 10.0.0.1 dnat to numgen random mod 2 map { 0 : 10.0.0.2, 1 : 10.0.0.3 }; }; }'
TRY
}

# The namespace and its way out.
ensure_space() {
  check_owner
  make_space "$space" || exit 1
  has cvlink && has_inside cvup && return
  ip link del cvlink 2>/dev/null
  ip link add cvlink type veth peer name cvup netns "$space" || exit 1
  ip link set cvlink alias "$space" up && ip addr add $HOST_SIDE/30 dev cvlink || exit 1
  ip -n "$space" link set lo up
  ip -n "$space" link set cvup up && ip -n "$space" addr add $SPACE_SIDE/30 dev cvup &&
    ip -n "$space" route replace default via $HOST_SIDE || exit 1
  # By these addresses it is heard who asks for a name.
  ip route replace $ASKERS via $SPACE_SIDE dev cvlink || exit 1
  echo 2 >/proc/sys/net/ipv4/conf/cvlink/rp_filter
  echo 1 >/proc/sys/net/ipv4/conf/cvlink/route_localnet
  # What is bridged inside is nobody's to filter; what is handed back to where it came from needs no better way told.
  inside sh -s <<'SET'
echo 1 >/proc/sys/net/ipv4/ip_forward
# Nothing in here is for a program of its own, so no packet needs to be looked up as one's.
for each in ip_early_demux tcp_early_demux udp_early_demux; do echo 0 >/proc/sys/net/ipv4/$each 2>/dev/null; done
for each in all default; do echo 0 >/proc/sys/net/ipv4/conf/$each/send_redirects; echo 0 >/proc/sys/net/ipv4/conf/$each/rp_filter; done
echo 0 >/proc/sys/net/ipv4/conf/cvup/send_redirects
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
SET
}

# Sets room to the bytes that a packet inside may have on the way to CARRIER.
find_room() {
  if [ "$1" = - ]; then way=$(ip -o route show default 2>/dev/null | head -n 1)
  else way=$(ip -o route get "$1" 2>/dev/null | head -n 1); fi
  dev=$(printf '%s\n' "$way" | sed -n 's/.* dev \([^ ]*\).*/\1/p')
  # An address of this very host: the device that has it.
  [ "$dev" != lo ] || dev=$(ip -o addr show to "$1" 2>/dev/null | awk 'NR == 1 { sub(/@.*/, "", $2); print $2 }')
  carrier=$(ip -o link show dev "${dev:-none}" 2>/dev/null | sed -n 's/.* mtu \([0-9]*\).*/\1/p')
  room=$((${carrier:-1500} - OVER))
}

network() {
  [ $# = 5 ] || fail "network takes 5 words"
  need_vni "$1"
  is_number "$2" 65535 && [ "$2" -gt 0 ] || fail "no port: $2"
  is_number "$3" 65535 || fail "no size of packets: $3"
  [ "$4" = - ] || is_address "$4" || fail "no address: $4"
  case $5 in -) ;; [0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]:[0-9a-f][0-9a-f]) ;; *) fail "no hardware address: $5" ;; esac
  find_room "$4"
  [ "$room" -ge $MIN_MTU ] || fail "its carrier takes packets of $((room + OVER)) bytes, which leaves too little: $room"
  [ "$3" = 0 ] || { [ "$3" -le "$room" ] || fail "its packets of $3 bytes do not fit into the carrier, which leaves $room"; room=$3; }
  ensure_space
  if ! has_inside "cvx$id"; then
    ip link del "cvx$id" 2>/dev/null
    ip link add "cvx$id" type vxlan id "$1" dstport "$2" nolearning proxy || exit 1
    ip link set "cvx$id" netns "$space" || exit 1
  fi
  has "cvp$id" && has_inside "cvq$id" || ip link add "cvp$id" type veth peer name "cvq$id" netns "$space" || exit 1
  has_inside "cvb$id" || ip -n "$space" link add "cvb$id" type bridge || exit 1
  ip -n "$space" link set "cvx$id" master "cvb$id" mtu "$room" up || exit 1
  ip -n "$space" link set "cvq$id" master "cvb$id" mtu "$room" up || exit 1
  # An address moves from host to host within seconds, and what a bridge has learnt it keeps for minutes: who is elsewhere is in the
  # table, everybody else is here.
  bridge -n "$space" link set dev "cvx$id" learning off flood off &&
    bridge -n "$space" link set dev "cvq$id" learning off || exit 1
  for each in "cvx$id" "cvq$id"; do ip -n "$space" link set dev "$each" type bridge_slave fdb_flush 2>/dev/null; done
  [ "$5" = - ] || ip -n "$space" link set "cvb$id" address "$5" || exit 1
  ip -n "$space" link set "cvb$id" mtu "$room" up || exit 1
  inside sh -c "echo 0 >/proc/sys/net/ipv4/conf/cvb$id/send_redirects"
  # No address of the host's own: it only hands on.
  echo 1 >"/proc/sys/net/ipv6/conf/cvp$id/disable_ipv6" 2>/dev/null
  ip link set "cvp$id" mtu "$room" up || exit 1
  echo "$room"
}

addresses() {
  need_vni "${1-}"
  shift
  for each in "$@"; do
    case $each in */*) ;; *) fail "no address with a mask: $each" ;; esac
    is_address "${each%%/*}" && is_number "${each#*/}" 32 || fail "no address with a mask: $each"
  done
  has_inside "cvb$id" || fail "there is no network $id"
  had=" $(ip -n "$space" -o -4 addr show dev "cvb$id" | awk '{ printf "%s ", $4 }')"
  for each in "$@"; do
    case $had in *" $each "*) ;; *) ip -n "$space" addr add "$each" dev "cvb$id" || exit 1 ;; esac
  done
  for each in $had; do
    case " $* " in *" $each "*) ;; *) ip -n "$space" addr del "$each" dev "cvb$id" || exit 1 ;; esac
  done
}

table() {
  need_vni "${1-}"
  shift
  for each in "$@"; do
    case $each in *@*) ;; *) fail "no address with a host: $each" ;; esac
    is_address "${each%%@*}" && is_address "${each#*@}" || fail "no address with a host: $each"
  done
  has_inside "cvx$id" || fail "there is no network $id"
  steps=$({
    for each in "$@"; do echo "want ${each%%@*} ${each#*@}"; done
    ip -n "$space" neigh show dev "cvx$id" nud permanent | sed 's/^/neigh /'
    bridge -n "$space" fdb show dev "cvx$id" | sed 's/^/fdb /'
  } | awk -v dev="cvx$id" -f "$here/table.awk") || fail "the table cannot be made"
  printf '%s\n' "$steps" | sed -n 's/^bridge //p' | bridge -n "$space" -batch - || exit 1
  printf '%s\n' "$steps" | sed -n 's/^ip //p' | ip -n "$space" -batch - || exit 1
}

# make_rules PART RULE...: sets made to what nft is to load.
make_rules() {
  part=$1
  shift
  for each in "$@"; do
    case $each in *[!A-Za-z0-9_.:,-]*) fail "no rule: $each" ;; esac
  done
  made=$(printf '%s\n' "$@" | awk -v link=$SPACE_SIDE -v names=$HOST_SIDE -v part="$part" -f "$here/rules.awk") || fail "$made"
}

load_inside() { printf '%s\n' "$made" | sed -n 's/^inside //p' | inside nft -f -; }

serve() {
  [ $# -gt 0 ] || fail "nothing to serve"
  make_rules serve "$@"
  load_inside
}

askers() {
  make_rules askers "$@"
  load_inside
}

# A packet that is translated where it comes from is bridged as any other: it is neither tracked twice nor sent by another address,
# whose ports all tasks here would share.
near() {
  make_rules near "$@"
  # By their numbers it is known whose a device is.
  ports=" $(ip -o link show type veth 2>/dev/null | sed -n 's/^\([0-9]*\): cvp[0-9a-f]*@.*/\1/p' | tr '\n' ' ')"
  answers=$(printf '%s\n' "$made" | { while read -r which who address how text; do load_near & done; wait; } 2>&1)
  [ -z "$answers" ] || fail "$answers"
}

# A task may have ended by now, and its number be another's: nothing is loaded but where its address is on a device of ours.
load_near() {
  case $which in at) place=/proc/$who/ns/net ;; *) place=/run/netns/$space-$who ;; esac
  { exec 9<"$place"; } 2>/dev/null || return 0
  [ ! /proc/self/fd/9 -ef /proc/self/ns/net ] || return 0
  printf '%s\n' "$text" | timeout $NEAR_SECONDS nsenter --net=/proc/self/fd/9 sh -c "$LOAD_IN_TASK" near "$address" "$ports" "$how" ||
    echo "Cannot load what $who translates"
}

# What has another kind of name was named by the task itself.
LOAD_IN_TASK=$(cat <<'LOAD'
devices=$({ ip -o -4 addr show to "$1/32"; ip -o link show type macvlan; } 2>/dev/null | awk -v ports="$2" '
  $3 == "inet" { device = $2 }
  match($2, /@if[0-9]+:$/) && index(ports, " " substr($2, RSTART + 3, RLENGTH - 4) " ") {
    name = substr($2, 1, RSTART - 1)
    if (name !~ /^[A-Za-z0-9_.-]+$/) { is_ours = 0; exit }
    if (name == device) is_ours = 1
    names = names (names == "" ? "" : ", ") "\"" name "\""
  }
  END { if (is_ours) print names }')
[ -n "$devices" ] || exit 0
sed "s/DEVICES/$devices/" | nft -f - 2>/dev/null && exit 0
# What it cannot translate the networks' namespace does; what is no more as it was left is to be said whole.
nft 'table ip covey_near { }; delete table ip covey_near' && [ "$3" = whole ]
LOAD
)

rules() {
  make_rules '' "$@"
  if [ $# -gt 0 ]; then ensure_space; fi
  is_there "$space" || return 0
  load_inside || exit 1
  case " $*" in
    *" port:"* | *" open:"*) open_host && printf '%s\n' "$made" | sed -n 's/^host //p' | nft -f - || exit 1 ;;
    *) close_host ;;
  esac
}

relayed() {
  [ $# = 2 ] && is_address "$1" && is_number "$2" 65535 || fail "no address and port: $*"
  found=$(inside nft get element ip covey relayed "{ $1 . $2 }" 2>/dev/null | sed -n 's/.* : \([0-9.]*\) \. \([0-9]*\) }.*/\1 \2/p')
  [ -n "$found" ] || fail "nothing is known of a connection from $1 $2"
  echo "$found"
}

# Lets what is for published ports, and what programs in networks send elsewhere, pass.
open_host() {
  if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]; then
    ip link set cvlink alias "$space forwarding" && echo 1 >/proc/sys/net/ipv4/ip_forward || return 1
  fi
  command -v iptables >/dev/null || return 0
  [ "$(iptables -w -S FORWARD 2>/dev/null)" != "-P FORWARD ACCEPT" ] || return 0
  for way in -i -o; do
    iptables -w -C FORWARD $way cvlink -j ACCEPT 2>/dev/null || iptables -w -I FORWARD $way cvlink -j ACCEPT || return 1
  done
}

close_host() {
  nft delete table ip covey 2>/dev/null
  if command -v iptables >/dev/null; then
    for way in -i -o; do iptables -w -D FORWARD $way cvlink -j ACCEPT 2>/dev/null; done
  fi
  if ip -o link show dev cvlink 2>/dev/null | grep -q "alias $space forwarding"; then
    echo 0 >/proc/sys/net/ipv4/ip_forward
    ip link set cvlink alias "$space"
  fi
  return 0
}

# The identifiers, in hexadecimal, of the networks that are there.
made_networks() {
  ip -o link show type veth 2>/dev/null | sed -n 's/^[0-9]*: cvp\([0-9a-f]*\)@.*/\1/p'
}

keep() {
  kept=' '
  for each in "$@"; do need_vni "$each"; kept="$kept$id "; done
  [ -e "/run/netns/$space" ] || return 0
  check_owner
  for id in $(made_networks); do
    case $kept in *" $id "*) continue ;; esac
    ip link del "cvp$id"
    for each in cvx cvb; do ip -n "$space" link del "$each$id" 2>/dev/null; done
  done
  return 0
}

# The tasks that have a namespace of their own.
joined_tasks() { ls /run/netns 2>/dev/null | sed -n "s/^$space-//p"; }

join() {
  [ $# -ge 4 ] || fail "join takes 4 words and more"
  need_task "$1"
  gateway=$2 names=$3
  [ "$gateway" = - ] || is_address "$gateway" || fail "no address: $gateway"
  [ "$names" = - ] || is_address "$names" || fail "no address: $names"
  shift 3
  for each in "$@"; do
    address=${each#*@}
    case $each in *@*/*) ;; *) fail "no place in a network: $each" ;; esac
    is_address "${address%%/*}" && is_number "${address#*/}" 32 || fail "no address with a mask: $each"
    need_vni "${each%%@*}"
    has "cvp$id" || fail "there is no network $id"
  done
  check_owner
  make_space "$own" || exit 1
  ip -n "$own" link set lo up || exit 1
  n=0
  for each in "$@"; do
    need_vni "${each%%@*}"
    place "eth$n" "${each#*@}" || exit 1
    n=$((n + 1))
  done
  [ "$gateway" = - ] || ip -n "$own" route replace default via "$gateway" || exit 1
  # All of it is the program's: there is nobody else whose ports it could take.
  nsenter --net="/run/netns/$own" sh -c 'echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start' || exit 1
  # See container_config.ts.
  nsenter --net="/run/netns/$own" sh -c 'echo 2 >/proc/sys/net/ipv4/tcp_timestamps' || exit 1
  mkdir -p -m 755 "$NAMES" && {
    sed -n '/^search [A-Za-z0-9._ -]*$/p' /etc/resolv.conf 2>/dev/null
    [ "$names" = - ] || echo "nameserver $names"
    echo "options ndots:0"
  } >"$NAMES/$own" && chmod 644 "$NAMES/$own"
}

# place DEVICE ADDR/BITS: a task's device in the network id, as containers get theirs.
place() {
  old=$IFS IFS=./
  set -- "$1" "$2" $2
  IFS=$old
  if ! ip -n "$own" link show dev "$1" >/dev/null 2>&1; then
    mac=$(printf '02:42:%02x:%02x:%02x:%02x' "$3" "$4" "$5" "$6")
    ip link add link "cvp$id" name "$1" netns "$own" address "$mac" type macvlan mode bridge || return 1
  fi
  ip -n "$own" addr replace "$2" dev "$1" && ip -n "$own" link set "$1" up
}

part() {
  [ $# = 1 ] || fail "part takes 1 word"
  need_task "$1"
  rm -f "$NAMES/$own"
  # What runs in there yet shall have no network any more, and its address may be the next one's.
  for each in $(ip -n "$own" -o link show type macvlan 2>/dev/null | sed -n 's/^[0-9]*: \([^@:]*\).*/\1/p'); do
    ip -n "$own" link del "$each"
  done
  [ ! -e "/run/netns/$own" ] || ip netns del "$own"
}

tasks() {
  for each in "$@"; do need_task "$each"; done
  for task in $(joined_tasks); do
    case " $* " in *" $task "*) ;; *) part "$task" ;; esac
  done
  return 0
}

leave() {
  check_owner
  tasks
  rmdir "$NAMES" 2>/dev/null
  has cvlink || [ -e "/run/netns/$space" ] || return 0
  keep
  close_host
  ip link del cvlink 2>/dev/null
  [ ! -e "/run/netns/$space" ] || ip netns del "$space"
}

# No file is named by what is asked.
set -f
while read -r verb number words; do
  is_number "$number" 9007199254740 || continue
  case $verb in
    probe | network | addresses | table | rules | serve | askers | near | keep | join | part | tasks | relayed | leave) ;;
    *) echo "$number error no such verb"; continue ;;
  esac
  # shellcheck disable=SC2086 # a list of words
  if answer=$(exec </dev/null; $verb $words 2>&1); then word=ok; else word=error; fi
  printf '%s %s %s\n' "$number" $word "$(printf %s "$answer" | tr -c '[:print:]' ' ' | cut -c 1-1000)"
done
