# A program in the cluster's networks: the part of the shim that has it enter the network namespace that network_server.sh made for
# this very task, before anything of the program's user runs. Read by shim_server.sh, whose variables it uses.

# Where network_server.sh notes whom a program asks for names.
NAMES=/run/covey-names

# Lays the networks' names over the host's, in a mount namespace that goes with the last process in there, and becomes the command
# that follows. Who answers for the whole host (systemd-resolved and nscd, by their sockets) knows nothing of networks.
SET_NAMES='number=$1 names=$2 mount=$3
shift 3
cannot() {
  printf "%s refused Networks not possible on this device: %s\n" "$number" "$1" >&3
  exit 125
}
[ -f /etc/resolv.conf ] || cannot "it has no /etc/resolv.conf"
"$mount" -n --bind "$names" /etc/resolv.conf || cannot "cannot mount /etc/resolv.conf"
for socket in /run/systemd/resolve/io.systemd.Resolve /run/nscd/socket /var/run/nscd/socket; do
  [ ! -S "$socket" ] || "$mount" -n --bind /dev/null "$socket" || cannot "cannot mount $socket"
done
exec "$@"'

# Sets enter to the command before all others that puts the program into its networks, with separators; empty where it is in its
# device's own.
find_space() {
  enter=
  # What is judged has none yet.
  [ -n "$node" ] && [ -z "$judging" ] || return 0
  case $node in *[!a-z0-9]*) refuse request "no ID of a node: $node" ;; esac
  [ "$me" = 0 ] || refuse Networks "only an agent that runs as root can have programs in networks"
  # The task's ID is checked, and the node's has no dash: it is no other namespace than one that was made for a task.
  space=/run/netns/covey-$node-$id
  [ -e "$space" ] && [ -f "$NAMES/covey-$node-$id" ] || refuse Networks "the task is not in its networks: there is no $space"
  look_for nsenter && nsenter=$found && look_for unshare && unshare=$found && look_for mount ||
    refuse Networks "this device has no nsenter, unshare or mount"
  set -- "$nsenter" "--net=$space" -- "$unshare" -m --propagation slave /bin/sh -c "$SET_NAMES" sh "$number" \
    "$NAMES/covey-$node-$id" "$found"
  IFS=$separator
  enter="$*"
  unset IFS
}
