# From what shall be (want ADDR HOST) and what is there (neigh …, fdb …) to the steps between, for `bridge -batch` and `ip -batch`.
function hardware(address, part) {
  split(address, part, ".")
  return sprintf("02:42:%02x:%02x:%02x:%02x", part[1], part[2], part[3], part[4])
}
$1 == "want" { host[$2] = $3; at[hardware($2)] = $3; next }
$1 == "neigh" { known[$2] = 1; next }
$1 == "fdb" {
  for (i = 3; i < NF; i++) if ($i == "dst") there[$2] = $(i + 1)
  # What the bridge knows; permanent is the device's own.
  if (/ master / && !/ permanent/) led[$2] = 1
  next
}
END {
  for (mac in there) if (!(mac in at)) print "bridge fdb del " mac " dev " dev " dst " there[mac] " self"
  for (mac in at) if (there[mac] != at[mac]) print "bridge fdb replace " mac " dev " dev " dst " at[mac] " self static"
  for (mac in led) if (!(mac in at)) print "bridge fdb del " mac " dev " dev " master"
  for (mac in at) if (!(mac in led)) print "bridge fdb replace " mac " dev " dev " master static"
  for (address in known) if (!(address in host)) print "ip neigh del " address " dev " dev
  for (address in host) if (!(address in known))
    print "ip neigh replace " address " lladdr " hardware(address) " dev " dev " nud permanent"
}
