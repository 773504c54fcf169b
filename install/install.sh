#!/bin/sh
# Installs Covey on a device, from the bundle that it lies in or from one that it fetches. See docs/operations/install.md.
#
#   install.sh --join HOST:PORT[,...] [--token-file FILE] [flags of run-agent]   a device
#   install.sh --manager [--advertise HOST:PORT] [flags of run-manager]          a manager, with a device beside it
#   install.sh [--deadline SECONDS]     upgrades what is installed, and goes back if that reaches no manager
#                                       in time (600; 0: never)
#   install.sh --prepare --from FILE    puts a version beside the one that runs, and leaves that alone (upgrade.sh)
#   install.sh --check                  says what this device has and lacks, and changes nothing
#   install.sh --leave                  stops the tasks, leaves the cluster, and stays installed
#   install.sh --uninstall              stops the tasks and removes all of it
#
# With --from FILE|URL the bundle is that file, or the one for this device in the folder at the URL. The join token
# may be in COVEY_JOIN_TOKEN, which other users cannot read, unlike a flag, or with --token - on standard input.
set -eu
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export PATH

# The bundle that was made with this file (bundle.sh), for a --from that is a URL.
BUNDLE=''
DENO_VERSION=2.9.5
# A version unpacked is 110 MB of Deno and 2 MB of the program; of an upgrade's two there is one already.
MIN_FREE_KIB=180000
# A device may be slow, and its network late.
JOIN_SECONDS=60

base=/opt/covey settings=/etc/covey state=/var/lib/covey command=/usr/local/bin/covey units=/etc/systemd/system
action=install role='' from='' token=${COVEY_JOIN_TOKEN-} token_file='' deadline=600 listen='' checks=0

say() { echo "covey: $*"; }
fail() { echo "covey: Cannot $action: $*" >&2; exit 1; }
# found LEVEL WHAT FOUND [REMEDY]: one line of a check.
found() {
  printf '%-5s %-13s %s\n' "$1" "$2" "$3${4:+: $4}"
  [ "$1" != FAIL ] || checks=$((checks + 1))
}

# The two kinds that Deno is made for. A 64-bit kernel may have 32-bit programs only, as on many a Raspberry Pi.
check_architecture() {
  arch=$(uname -m)
  case $arch in
    x86_64 | amd64) arch=x86_64 package=x64 ;;
    aarch64 | arm64) arch=aarch64 package=arm64 ;;
    *)
      found FAIL architecture "$arch" "Deno is made for 64-bit arm64 and x86-64 only; install a 64-bit system"
      return
      ;;
  esac
  case $(od -An -tx1 -j4 -N1 /bin/sh | tr -d ' ') in
    01) found FAIL architecture "$arch with 32-bit programs" "Deno needs a 64-bit system, not only a 64-bit kernel" ;;
    *) found OK architecture "$arch" ;;
  esac
}

check_tools() {
  for tool in setsid env tar gzip readlink; do
    command -v $tool >/dev/null || found FAIL "$tool" 'not there' 'install util-linux, coreutils, tar and gzip, or busybox'
  done
  # Busybox has one that cannot change the user.
  changer=''
  for tool in setpriv su-exec gosu; do
    for folder in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
      [ -x "$folder/$tool" ] || continue
      [ "$tool" != setpriv ] || "$folder/$tool" --help 2>&1 | grep -q -- --reuid || continue
      changer=${changer:-$folder/$tool}
    done
  done
  if [ -n "$changer" ]; then found OK setpriv "$changer"
  elif [ -r "$settings/user" ]; then found OK setpriv "not there; tasks run as $(head -n 1 "$settings/user")"
  else found WARN setpriv 'not there' "tasks are refused: install util-linux, or name their user in $settings/user"; fi
}

check_clock() {
  if [ "$(date +%Y)" -ge 2026 ]; then found OK clock "$(date)"
  else found WARN clock "$(date)" "it was never set; the device takes its managers' time"; fi
}

check_disk() {
  place=$base
  while [ ! -d "$place" ]; do place=${place%/*} place=${place:-/}; done
  free=$(df -Pk "$place" | awk 'END { print $4 }')
  if [ "$free" -ge $MIN_FREE_KIB ]; then found OK disk "$((free / 1024)) MiB free at $place"
  else found FAIL disk "$((free / 1024)) MiB free at $place" "$((MIN_FREE_KIB / 1024)) MiB are needed"; fi
}

check_cgroups() {
  groups=/sys/fs/cgroup
  if [ -r $groups/cgroup.controllers ]; then
    case " $(cat $groups/cgroup.controllers) " in
      *' memory '*) found OK cgroups 'v2 with memory' ;;
      *) found WARN cgroups 'v2 without memory' 'limits fall back to ulimit; add cgroup_enable=memory to cmdline.txt' ;;
    esac
  elif [ -d $groups/memory ]; then found OK cgroups 'v1 with memory'
  else found WARN cgroups none 'limits of programs fall back to ulimit'; fi
}

# A device listens nowhere; a manager does, unless it is what listens already.
check_port() {
  [ "$role" = manager ] && [ ! -e "$settings/manager.flags" ] || return 0
  port=${listen##*:} port=${port:-2377}
  if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf ':%04X' "$port")" \
    '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }'; then
    found FAIL port "$port is taken" 'end what listens there, or name another with --listen'
  else found OK port "$port is free"; fi
}

# For networks between containers; nothing else needs one.
check_modules() {
  missing=''
  for module in vxlan bridge veth nf_tables; do
    [ -d "/sys/module/$module" ] || modinfo "$module" >/dev/null 2>&1 ||
      grep -q "/$module.ko" "/lib/modules/$(uname -r)/modules.builtin" 2>/dev/null || missing="$missing $module"
  done
  if [ -z "$missing" ]; then found OK 'kernel' "$(uname -r)"
  else found WARN kernel "no module$missing" 'networks of containers are out of reach, programs are not'; fi
}

check_device() {
  if [ "$(id -u)" = 0 ]; then found OK user root; else found FAIL user "$(id -un)" 'be root'; fi
  check_architecture
  check_tools
  check_clock
  check_disk
  check_cgroups
  check_port
  check_modules
}

fetch() { if command -v curl >/dev/null; then curl -fsSL "$1"; else wget -qO- "$1"; fi; }

# Puts the bundle's files into the folder $1.
unpack() {
  mkdir -p "$1.tar"
  case $from in
    *://*.tar.gz) fetch "$from" | tar -xzf - -C "$1.tar" || fail "the bundle at $from did not come whole" ;;
    *://*)
      [ -n "$BUNDLE" ] || fail "--from has to name the .tar.gz: this install.sh belongs to no bundle"
      fetch "${from%/}/$BUNDLE-$arch.tar.gz" | tar -xzf - -C "$1.tar" || fail "$from/$BUNDLE-$arch.tar.gz did not come whole"
      ;;
    *.tar.gz) tar -xzf "$from" -C "$1.tar" || fail "$from is no bundle" ;;
    *) [ -r "$from/VERSION" ] && cp -R "$from" "$1.tar/covey" || fail "there is no bundle at $from; name one with --from" ;;
  esac
  [ -r "$1.tar/covey/VERSION" ] || fail "what $from holds is no bundle"
  rm -rf "$1"
  mv "$1.tar/covey" "$1"
  rm -rf "$1.tar"
}

is_deno() { [ "$("$1" --version 2>/dev/null | sed -n 's/^deno \([0-9.]*\).*/\1/p')" = "$DENO_VERSION" ]; }

# The bundle's own, else the one of this device, else that of the npm package, always of one version.
find_deno() {
  deno=$1/bin/deno
  if [ ! -e "$deno" ]; then
    there=$base/current/bin/deno
    # What is on the path may be a script that leads to the program: that of npm, or of a version manager.
    [ -x "$there" ] || there=$(DENO_DIR=$1/cache deno eval --no-config 'console.log(Deno.execPath())' 2>/dev/null || :)
    # A link of the same disk takes no room.
    if [ -n "$there" ] && is_deno "$there"; then ln "$there" "$deno" 2>/dev/null || cp "$there" "$deno"
    elif command -v npm >/dev/null; then
      (cd "$1/bin" && npm pack --silent "@deno/linux-$package-glibc@$DENO_VERSION" >/dev/null) || fail "npm did not get Deno $DENO_VERSION"
      tar -xzf "$1"/bin/deno-*.tgz -C "$1/bin" --strip-components=1 package/deno
      rm -f "$1"/bin/deno-*.tgz
    else fail "this bundle has no Deno, and there is neither deno $DENO_VERSION nor npm here"; fi
    chmod 755 "$deno"
  fi
  is_deno "$deno" || fail "Deno $DENO_VERSION does not run on this device; it needs the GNU C library 2.27 or later"
}

# What Deno learns of a file when it first reads it costs the one that does it 6 MB for as long as it runs: it is kept.
prepare() { DENO_DIR=$1/cache "$1/bin/deno" cache --quiet --no-config "$1/agent/main.js" || :; }

installed_role() {
  for was in agent manager; do [ ! -e "$settings/$was.flags" ] || echo $was; done
}

# place FILE [MODE]: puts standard input there as a whole: whenever power is cut, what was there before or all of it is.
place() {
  cat >"$1.part"
  [ -z "${2-}" ] || chmod "$2" "$1.part"
  sync
  mv -f "$1.part" "$1"
}

has_systemd() { [ -d /run/systemd/system ]; }
service() {
  if has_systemd; then systemctl "$1" "covey-$role"
  elif [ -x "/etc/init.d/covey-$role" ]; then "/etc/init.d/covey-$role" "$1"; fi
}

# What would shut in the agent would shut in its tasks, which are to outlive it: its sandbox is Deno's. Nothing waits for a network.
agent_unit() {
  cat <<UNIT
[Unit]
Description=Covey $role
After=network.target docker.service
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=$base/start.sh $role
Restart=always
RestartSec=5
# An agent that has grown asks so to be started again.
SuccessExitStatus=75
TimeoutStopSec=30
# The tasks go on while the program is stopped, restarted or upgraded, and when one of them is out of memory.
KillMode=process
OOMPolicy=continue
Delegate=yes
TasksMax=infinity
LimitNOFILE=65536
LimitCORE=0:infinity
UMask=0077
UNIT
}

# A manager without an agent starts no tasks, so it needs nothing of the device but its folder and its socket.
hardening() {
  cat <<UNIT
User=covey
Group=covey
StateDirectory=covey
StateDirectoryMode=0700
RuntimeDirectory=covey
RuntimeDirectoryMode=0755
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ReadWritePaths=$base
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
UNIT
}

make_user() {
  grep -q '^covey:' /etc/passwd && return
  if command -v useradd >/dev/null; then useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin covey
  else addgroup -S covey && adduser -S -D -H -h "$state" -s /bin/false -G covey covey; fi
}

alone() { [ "$role" = manager ] && grep -qx -- --no-agent "$settings/manager.flags"; }

write_unit() {
  mkdir -p "$units"
  { agent_unit; if alone; then hardening; fi; printf '\n[Install]\nWantedBy=multi-user.target\n'; } |
    place "$units/covey-$role.service"
  systemctl daemon-reload
  systemctl enable --quiet "covey-$role"
}

write_init_script() {
  mkdir -p /etc/init.d
  place "/etc/init.d/covey-$role" 755 <<INIT
#!/bin/sh
### BEGIN INIT INFO
# Provides:          covey-$role
# Required-Start:    \$local_fs
# Required-Stop:     \$local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Covey $role; its tasks go on when it is stopped
### END INIT INFO
pid_file=/run/covey-$role.pid log=/var/log/covey-$role.log
# A number from before the last boot may be another's by now.
running() { pid=\$(cat \$pid_file 2>/dev/null) && grep -q 'covey/start.sh' "/proc/\$pid/cmdline" 2>/dev/null; }
start() {
  running && return
  mkdir -p /run /var/log
  [ "\$(wc -c <\$log 2>/dev/null || echo 0)" -lt 1048576 ] || mv \$log \$log.1
  setsid $base/start.sh keep $role </dev/null >>\$log 2>&1 &
  echo \$! >\$pid_file
}
stop() {
  running || return 0
  kill "\$pid"
  for second in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do running || return 0; sleep 1; done
  kill -9 "\$pid"
}
case \${1-} in
  start) start ;;
  stop) stop ;;
  restart | force-reload) stop; start ;;
  status) if running; then echo "covey-$role runs (\$pid)"; else echo "covey-$role does not run"; exit 3; fi ;;
  *) echo "usage: \$0 start|stop|restart|status" >&2; exit 2 ;;
esac
INIT
  if command -v update-rc.d >/dev/null; then update-rc.d "covey-$role" defaults >/dev/null
  elif [ -e /etc/init.d/rcS ]; then ln -sf "covey-$role" "/etc/init.d/S90covey-$role"
  else say "have this device run /etc/init.d/covey-$role start when it boots"; fi
}

write_service() {
  if has_systemd; then
    if alone; then
      make_user
      mkdir -p "$state"
      chown -R covey:covey "$state"
    fi
    write_unit
  else write_init_script; fi
}

# Puts the bundle's version beside those that are there. Sets `version`, and `old` to the one that runs, if one does.
prepare_version() {
  check_device
  [ "$checks" = 0 ] || fail "$checks of the checks failed"
  umask 022
  mkdir -p "$base/versions" "$settings"
  rm -rf "$base"/versions/*.part "$base"/versions/*.part.tar
  unpack "$base/versions/new.part"
  find_deno "$base/versions/new.part"
  version=$(cat "$base/versions/new.part/VERSION")
  old=$(readlink "$base/current" 2>/dev/null || :)
  old=${old##*/}
  if [ "$version" = "$old" ]; then rm -rf "$base/versions/new.part"
  else
    rm -rf "$base/versions/$version"
    # Whole on the disk before anything leads to it.
    sync
    mv "$base/versions/new.part" "$base/versions/$version"
    prepare "$base/versions/$version"
  fi
}

install() {
  before=$(installed_role)
  [ -z "$role" ] || [ -z "$before" ] || [ "$role" = "$before" ] || fail "this device is a $before already; --uninstall it first"
  role=${role:-$before}
  [ -n "$role" ] || fail "it is to be a device (--join HOST:PORT) or a --manager"
  [ -z "$token_file" ] || [ -r "$token_file" ] || fail "there is no token file $token_file"
  prepare_version
  write_flags "$@"
  [ -z "$old" ] || service stop
  # Seen again is a version only after this start.
  rm -f "$state/reached" "$state/agent/reached"
  place "$base/start.sh" 755 <"$base/versions/$version/start.sh"
  if [ -n "$old" ] && [ "$version" != "$old" ] && [ "$deadline" != 0 ] && ! alone; then
    echo "$version $old $deadline 0" | place "$base/trial"
  else rm -f "$base/trial"; fi
  rm -f "$base/current.part"
  ln -s "versions/$version" "$base/current.part"
  mv -fT "$base/current.part" "$base/current"
  sync
  for folder in "$base"/versions/*; do
    case ${folder##*/} in "$version" | "$old") ;; *) rm -rf "$folder" ;; esac
  done
  mkdir -p "${command%/*}"
  ln -sf "$base/current/bin/covey" "$command"
  write_service
  sync
  service start
  say "version $version is installed${old:+; before it was $old}"
  await "$version" "$old"
}

# The flags are kept as they were where none are given: an upgrade needs no words.
write_flags() {
  if [ $# -gt 0 ] || [ ! -e "$settings/$role.flags" ]; then
    [ "$role" = agent ] || set -- --api /run/covey/covey.sock "$@"
    for word; do printf '%s\n' "$word"; done | place "$settings/$role.flags"
  fi
  [ -z "$token_file" ] || token=$(head -n 1 "$token_file")
  # Its own words may come on standard input, but then it was started as a file.
  [ "$token" != - ] || IFS= read -r token
  [ -n "$token" ] || return 0
  if [ -e "$state/certificates/swarm-node.crt" ]; then say "it has joined already, the token is not needed; to join anew, 'covey leave' first"
  else (umask 077 && echo "$token" | place "$settings/token"); fi
}

# await VERSION OLD: says how it went, as far as it went in a minute.
await() {
  reached=$state/reached
  [ "$role" = agent ] || reached=$state/agent/reached
  waited=0
  while [ $waited -lt $JOIN_SECONDS ]; do
    if { alone && [ -S /run/covey/covey.sock ]; } || [ "$(cat "$reached" 2>/dev/null)" = "$1" ]; then
      [ ! -e "$state/certificates/swarm-node.crt" ] || rm -f "$settings/token"
      if [ "$role" = manager ]; then say "the manager runs; 'covey swarm join-token worker' says how a device joins"
      else say "this device is connected"; fi
      return
    fi
    if [ "$(readlink "$base/current")" != "versions/$1" ]; then
      fail "version $1 did not reach a manager; the device is back at $(cat "$base/current/VERSION")"
    fi
    sleep 1
    waited=$((waited + 1))
  done
  say "no manager was reached yet; it goes on trying${2:+, and goes back to $2 after $deadline s}"
  if has_systemd; then say "see: journalctl -u covey-$role"; else say "see: /var/log/covey-$role.log"; fi
}

# Ends the tasks and forgets the cluster; the program is stopped.
leave() {
  role=$(installed_role)
  [ -n "$role" ] || fail "nothing is installed in $base"
  [ "$role" = agent ] || fail "a manager leaves with 'covey swarm leave', which its agent follows"
  service stop
  program=$(readlink -f "$base/current")
  # shellcheck disable=SC2046 # one word a line, and none has blanks
  COVEY_DENO=$program/bin/deno DENO_DIR=$program/cache \
    "$program/agent/launch.sh" $(cat "$settings/agent.flags") --state-dir "$state" --leave
}

uninstall() {
  role=$(installed_role)
  [ -n "$role" ] || fail "nothing is installed in $base"
  program=$(readlink -f "$base/current")
  rm -f "$base/trial"
  if [ "$role" = agent ]; then leave || say 'not every task could be stopped'
  else
    "$program/bin/covey" swarm leave --force || say 'the cluster could not be told; other managers know this one as unreachable'
    service stop
  fi
  if has_systemd; then
    systemctl disable --quiet "covey-$role" || :
    rm -f "$units/covey-$role.service"
    systemctl daemon-reload
  else
    if command -v update-rc.d >/dev/null; then update-rc.d -f "covey-$role" remove >/dev/null || :; fi
    rm -f "/etc/init.d/covey-$role" "/etc/init.d/S90covey-$role" "/run/covey-$role.pid" "/var/log/covey-$role.log" \
      "/var/log/covey-$role.log.1"
  fi
  # The control groups of tasks are gone with them, ours is left.
  rmdir /sys/fs/cgroup/covey /sys/fs/cgroup/*/covey 2>/dev/null || :
  rm -f "$command" "$settings/$role.flags" "$settings/token"
  rm -rf "$base" "$state" /run/covey
  # What the device's owner wrote (allow, deno) stays, so that a later installation is bound by it as well.
  rmdir "$settings" 2>/dev/null || say "$settings keeps what you put there"
  if grep -q '^covey:' /etc/passwd; then userdel covey 2>/dev/null || deluser covey 2>/dev/null || :; fi
  say "nothing of it is left"
}

self=$0
case $self in */install.sh | install.sh) from=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P) ;; esac
take=''
for word in "$@"; do
  shift
  if [ -n "$take" ]; then eval "$take=\$word"; take=''; continue; fi
  case $word in
    --uninstall | --check | --leave | --prepare) action=${word#--} ;;
    --help | -h) action=help ;;
    --manager) role=manager ;;
    --from) take=from ;; --from=*) from=${word#*=} ;;
    --token) take=token ;; --token=*) token=${word#*=} ;;
    --token-file) take=token_file ;; --token-file=*) token_file=${word#*=} ;;
    --deadline) take=deadline ;; --deadline=*) deadline=${word#*=} ;;
    --state-dir | --state-dir=*) fail "the state of what is installed is in $state" ;;
    --listen=*) listen=${word#*=}; set -- "$@" "$word" ;;
    *) [ "${last-}" != --listen ] || listen=$word; set -- "$@" "$word" ;;
  esac
  last=$word
done
[ -z "$take" ] || fail "--$take needs a value"
case $deadline in '' | *[!0-9]*) fail "--deadline is a number of seconds, current value is \"$deadline\"" ;; esac
[ $# = 0 ] || [ -n "$role" ] || role=agent
case $action in
  install) install "$@" ;;
  prepare)
    role=$(installed_role)
    [ -n "$role" ] || fail "nothing is installed in $base"
    prepare_version
    ;;
  check) check_device; [ "$checks" = 0 ] || exit 1 ;;
  leave) leave ;;
  uninstall) uninstall ;;
  help) if [ -r "$0" ]; then sed -n '/^#   install.sh/,/^$/s/^# *//p' "$0"; else say 'see docs/operations/install.md'; fi ;;
esac
