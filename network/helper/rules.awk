# From rules, a line each, to two tables of nft, loaded whole: lines `inside …` for the namespace, `host …` for the host. Ends with 1
# and says why at what is no rule. `link`: the namespace's address on the link; `names`: where names are answered.
function is_number(text, max) { return text ~ /^(0|[1-9][0-9]*)$/ && length(text) < 9 && text + 0 <= max }
function is_address(text, part, i) {
  if (split(text, part, ".") != 4) return 0
  for (i = 1; i <= 4; i++) if (!is_number(part[i], 255)) return 0
  return 1
}
function refuse(line) { print "no rule: " line; bad = 1; exit 1 }
# Where to, by chance: all are equally good, and no count has to be kept.
function spread(list, port, part, n, i, text) {
  n = split(list, part, ",")
  for (i = 1; i <= n; i++) {
    if (!is_address(part[i])) refuse($0)
    text = text (i > 1 ? ", " : "") i - 1 " : " part[i]
  }
  return "dnat to numgen random mod " n " map { " text " }" (port == "" ? "" : ":" port)
}
BEGIN { FS = ":" }
$0 == "" { next }
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
  next
}
$1 == "vip" && NF == 3 && is_address($2) {
  if ($3 != "") {
    chains = chains "chain vip-" $2 " { " spread($3, "") "; }; "
    vips = vips (vips == "" ? "" : ", ") $2 " : jump vip-" $2
  }
  next
}
$1 == "port" && NF == 5 && ($2 == "tcp" || $2 == "udp" || $2 == "sctp") && is_number($3, 65535) && is_number($4, 65535) {
  if ($5 != "") ports = ports "iifname \"cvup\" " $2 " dport " $3 " " spread($5, $4) "; "
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
  print "inside table ip covey { }"
  print "inside delete table ip covey"
  print "inside table ip covey { " named(chains) "chain in { type nat hook prerouting priority -100; " dns \
    (vips == "" ? "" : "ip daddr vmap { " named(vips) " }; ") ports "}; chain out { type nat hook postrouting priority 100; " \
    (askers == "" ? "" : "oifname \"cvup\" ip daddr " names " snat to ip saddr map { " askers " }; ") source out "}; " \
    "chain pass { type filter hook forward priority 0; " pass "}; }"
  print "host table ip covey { }"
  print "host delete table ip covey"
  print "host table ip covey { chain published { " host "}; chain in { type nat hook prerouting priority -100; fib daddr type local jump published; }; " \
    "chain self { type nat hook output priority -100; fib daddr type local jump published; }; " \
    "chain out { type nat hook postrouting priority 100; oifname \"cvlink\" ip saddr 127.0.0.0/8 masquerade; " \
    (out == "" ? "" : "oifname != \"cvlink\" ip saddr " link " masquerade; ") "}; }"
}
# A chain's name has no dots.
function named(text, result) {
  while (match(text, /vip-[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+/)) {
    result = result substr(text, 1, RSTART - 1)
    part = substr(text, RSTART, RLENGTH)
    gsub(/[.-]/, "_", part)
    result = result part
    text = substr(text, RSTART + RLENGTH)
  }
  return result text
}
