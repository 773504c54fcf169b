# For the launchers: sets net to the Deno permission to reach the given addresses (HOST, HOST:PORT, [v6]:PORT), and port 2377.
#
# A port is allowed on any IPv4 host: managers move, and a device's network gives them other addresses. Names and IPv6 addresses
# are allowed one by one, as Deno has no pattern for them (`:PORT` means the loopback only). See docs/decisions/0041.
allow_net() {
  net=0.0.0.0/0:2377
  for address in "$@"; do allow_address "$address" port; done
}

# allow_hosts ADDRESS...: adds the names and IPv6 addresses among them to net where their port is in there already. For what a
# program keeps itself: that opens no port to it.
allow_hosts() {
  for address in "$@"; do allow_address "$address" ''; done
}

allow_address() {
  case $1 in
    *]:*) port=${1##*:} host=${1%:*} ;;
    \[*) port=2377 host=$1 ;;
    *:*:*) port=2377 host=[$1] ;;
    *:*) port=${1##*:} host=${1%:*} ;;
    *) port=2377 host=$1 ;;
  esac
  # What is no address is left to the program, which says so.
  case $port in '' | *[!0-9]* | ??????*) return 0 ;; esac
  [ "$port" -le 65535 ] || return 0
  case ,$net, in
    *,0.0.0.0/0:"$port",*) ;;
    *) [ -n "$2" ] || return 0; net=$net,0.0.0.0/0:$port ;;
  esac
  case $host in
    '' | -* | .* | *..* | *:::* | \[*[!]0-9A-Fa-f:.]*) ;;
    \[*]) net=$net,$host:$port ;;
    *[!0-9A-Za-z._-]*) ;;
    *[!0-9.]*) net=$net,$host:$port ;;
  esac
}
