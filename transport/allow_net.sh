# For the launchers: sets net to the Deno permission to reach the given addresses (HOST, HOST:PORT, [v6]:PORT), and port 2377.
#
# A port is allowed on any IPv4 host: managers move, and a device's network gives them other addresses. Names and IPv6 addresses
# are allowed one by one, as Deno has no pattern for them (`:PORT` means the loopback only). See docs/decisions/0041.
allow_net() {
  net=0.0.0.0/0:2377
  for address in "$@"; do
    case $address in
      *]:*) port=${address##*:} host=${address%:*} ;;
      \[*) port=2377 host=$address ;;
      *:*:*) port=2377 host=[$address] ;;
      *:*) port=${address##*:} host=${address%:*} ;;
      *) port=2377 host=$address ;;
    esac
    # What is no address is left to the program, which says so.
    case $port in '' | *[!0-9]* | ??????*) continue ;; esac
    [ "$port" -le 65535 ] || continue
    case ,$net, in *,0.0.0.0/0:"$port",*) ;; *) net=$net,0.0.0.0/0:$port ;; esac
    case $host in
      '' | -* | .* | *..* | *:::* | \[*[!]0-9A-Fa-f:.]*) ;;
      \[*]) net=$net,$host:$port ;;
      *[!0-9A-Za-z._-]*) ;;
      *[!0-9.]*) net=$net,$host:$port ;;
    esac
  done
}
