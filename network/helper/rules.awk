# From rules, a line each, to what nft is to load: lines `inside …` for the namespace, `host …` for the host, and for `near` a line
# `at PID ADDR whole|part …` or `own TASK ADDR whole|part …` for each task, in which DEVICES stands for its devices. Ends with 1 and
# says why at what is no rule. `link`: the namespace's address on the link; `names`: where names are answered; `part`: empty for both
# tables whole, `serve` for the chains of the services that are named and no others, `askers` for the map of who asks for names,
# `near` for the tables of tasks.
function is_number(text, max) { return text ~ /^(0|[1-9][0-9]*)$/ && length(text) < 9 && text + 0 <= max }
function is_address(text, part, i) {
  if (split(text, part, ".") != 4) return 0
  for (i = 1; i <= 4; i++) if (!is_number(part[i], 255)) return 0
  return 1
}
function refuse(line) { print "no rule: " line; bad = 1; exit 1 }
# Where to, by chance: all are equally good, and no count has to be kept. Those that are relayed are one way together.
function spread(which, list, port, part, n, i, text, direct, relayed) {
  n = split(list, part, ",")
  for (i = 1; i <= n; i++) {
    if (part[i] == "relay" && port == "") { relayed++; continue }
    if (!is_address(part[i])) refuse($0)
    text = text (direct > 0 ? ", " : "") direct++ " : " part[i]
  }
  if (relayed) ways[1] = which "ip protocol tcp " (direct ? "numgen random mod " n " < " relayed " " : "") "goto relay"
  if (direct) ways[relayed ? 2 : 1] = which "dnat to numgen random mod " direct " map { " text " }" (port == "" ? "" : ":" port)
  return (relayed > 0) + (direct > 0)
}
# A chain of its own for each service's address or port, so that a change of who serves touches that one. An empty one leads nowhere.
# `which`: of the packets that come there.
function fill(chain, which, list, port, i, n) {
  # A chain's name has no dots.
  gsub(/\./, "_", chain)
  n = list == "" ? 0 : spread(which, list, port)
  chains = chains "chain " chain " { "
  refilled = refilled "inside flush chain ip " table " " chain "\n"
  for (i = 1; i <= n; i++) {
    chains = chains ways[i] "; "
    refilled = refilled "inside add rule ip " table " " chain " " ways[i] "\n"
  }
  chains = chains "}; "
  return "jump " chain
}
function end_near() {
  if (near == "") return
  gsub("inside ", "", refilled)
  gsub("\n", "; ", refilled)
  if (how == "part") print near "part " refilled
  else print near "whole table ip covey_near { }; delete table ip covey_near; " (vips == "" ? "" : "table ip covey_near { " chains \
    "chain out { type nat hook output priority -100; oifname { DEVICES } ip daddr vmap { " vips " }; }; }")
  near = chains = vips = refilled = ""
}
BEGIN { FS = ":"; table = part == "near" ? "covey_near" : "covey" }
$0 == "" { next }
part == "serve" && $1 != "vip" && $1 != "port" { refuse($0) }
part == "askers" && $1 != "from" { refuse($0) }
part == "near" && $1 != "at" && $1 != "own" && (near == "" || $1 != "vip") { refuse($0) }
(($1 == "at" && is_number($2, 99999999)) || ($1 == "own" && $2 ~ /^[A-Za-z0-9][A-Za-z0-9_.-]*$/)) && part == "near" && is_address($3) && (NF == 3 || (NF == 4 && $4 == "part")) {
  end_near()
  how = $4
  near = $1 " " $2 " " $3 " "
  next
}
# Who is relayed is reached by the namespace alone.
part == "near" && /relay/ { refuse($0) }
$1 == "node" && NF == 3 && is_number($2, 16777215) && is_address($3) {
  source = source sprintf("oifname \"cvb%x\" ct status dnat snat to %s; ", $2, $3)
  next
}
$1 == "dns" && NF == 2 && is_address($2) {
  dns = dns "ip daddr " $2 " udp dport 53 dnat to " names ":7753; ip daddr " $2 " tcp dport 53 dnat to " names ":7753; "
  next
}
$1 == "from" && NF == 3 && is_address($2) && is_address($3) && $3 ~ /^169\.254\.(8[0-9]|9[0-5])\./ {
  askers = askers (askers == "" ? "" : ", ") $2 " : " $3
  places = places (places == "" ? "" : ", ") $3 " : " $2
  next
}
# What is to be relayed goes to the agent, which asks by whence it comes where it was to go.
$1 == "relay" && NF == 2 && is_address($2) {
  relays = relays (relays == "" ? "" : ", ") $2
  next
}
$1 == "vip" && NF == 3 && is_address($2) {
  vips = vips (vips == "" ? "" : ", ") $2 " : " fill("vip_" $2, "", $3, "")
  next
}
$1 == "port" && NF == 5 && ($2 == "tcp" || $2 == "udp" || $2 == "sctp") && is_number($3, 65535) && is_number($4, 65535) {
  ports = ports "iifname \"cvup\" " $2 " dport " $3 " " fill("port_" $2 "_" $3, $2 " dport " $3 " ", $5, $4) "; "
  host = host $2 " dport " $3 " dnat to " link "; "
  next
}
# A network in which programs are whose way out is by here: they get to its own devices and, if it is open, out, and not into others.
($1 == "open" || $1 == "closed") && NF == 2 && is_number($2, 16777215) {
  from = sprintf("iifname \"cvb%x\" ", $2)
  if ($1 == "open") out = "oifname \"cvup\" masquerade; "
  pass = pass from "oifname \"cvup\" ct status dnat accept; " from "oifname != { " ($1 == "open" ? "\"cvup\", " : "") \
    sprintf("\"cvb%x\" } drop; ", $2)
  next
}
{ refuse($0) }
END {
  if (bad) exit 1
  if (part == "near") {
    end_near()
    exit
  }
  if (part == "serve") {
    printf "%s", refilled
    exit
  }
  if (part == "askers") {
    print "inside flush map ip covey askers"
    print "inside flush map ip covey places"
    if (askers != "") {
      print "inside add element ip covey askers { " askers " }"
      print "inside add element ip covey places { " places " }"
    }
    exit
  }
  print "inside table ip covey { }"
  print "inside delete table ip covey"
  print "inside table ip covey { map askers { type ipv4_addr : ipv4_addr; " (askers == "" ? "" : "elements = { " askers " }; ") "}; " \
    "map places { type ipv4_addr : ipv4_addr; " (askers == "" ? "" : "elements = { " places " }; ") "}; " \
    "map relayed { type ipv4_addr . inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 30s; size 4096; }; " \
    "chain relay { ip protocol tcp update @relayed { ip saddr . tcp sport : ip daddr . tcp dport }; ip protocol tcp dnat to " names ":7754; }; " \
    chains "chain in { type nat hook prerouting priority -100; " (vips == "" ? "" : "ip daddr vmap { " vips " }; ") dns \
    (relays == "" ? "" : "ip daddr { " relays " } goto relay; iifname \"cvup\" ip saddr " names " dnat to ip daddr map @places; ") \
    ports "}; chain out { type nat hook postrouting priority 100; " \
    "oifname \"cvup\" ip daddr " names " snat to ip saddr map @askers; " source out "}; " \
    (pass == "" ? "" : "chain pass { type filter hook forward priority 0; " pass "}; ") "}"
  print "host table ip covey { }"
  print "host delete table ip covey"
  print "host table ip covey { chain published { " host "}; chain in { type nat hook prerouting priority -100; fib daddr type local jump published; }; " \
    "chain self { type nat hook output priority -100; fib daddr type local jump published; }; " \
    "chain out { type nat hook postrouting priority 100; oifname \"cvlink\" ip saddr 127.0.0.0/8 masquerade; " \
    (out == "" ? "" : "oifname != \"cvlink\" ip saddr " link " masquerade; ") "}; }"
}
