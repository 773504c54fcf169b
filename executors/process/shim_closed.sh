# What a program is kept from, or given, of the device: the part of the shim for read-only roots, private /tmp and devices. Read by
# shim_server.sh, whose variables it uses.
#
# /etc/covey/devices lists the devices that a task may name, one absolute path or shell pattern a line (`*` matches `/` too; `#`
# starts a comment). It belongs to root. No file means none.

DEVICES=/etc/covey/devices

# Makes a task's view of the file systems, in a mount namespace of its own, and becomes the command that follows. Its mounts go
# with the last process in there. The program's own folder is bound upon itself, so that it stays as it is. What the device mounts
# and unmounts later is seen in there too: else an engine could not remove its containers.
CLOSE='number=$1 spec=$2 closed=$3 own=$4 here=$5 mount=$6
shift 6
still() {
  while read -r _ at _; do [ "$at" != "$1" ] || return 0; done </proc/self/mounts
  return 1
}
cannot() {
  printf "%s refused %s.%s not possible on this device: %s\n" "$number" "$spec" "$1" "$2" >&3
  exit 125
}
case $closed in *tmp*)
  for dir in /tmp /var/tmp; do
    [ -d "$dir" ] && [ ! -L "$dir" ] || continue
    "$mount" -n -t tmpfs -o mode=1777,nosuid,nodev,size=64m covey "$dir" || cannot PrivateTmp "cannot mount $dir"
  done
esac
case $closed in *root*)
  "$mount" -n --bind "$own" "$own" || cannot ReadOnly "cannot mount $own"
  while read -r _ mounted _ options _; do
    dir=$mounted
    case $dir in *\\*) dir=$(printf %b "$dir") ;; esac
    case $dir/ in /proc/* | /sys/* | /dev/* | "$own"/*) continue ;; esac
    case $closed:$dir/ in *tmp*:/tmp/* | *tmp*:/var/tmp/*) continue ;; esac
    flags=remount,bind,ro
    for flag in nosuid nodev noexec; do
      case ,$options, in *,$flag,*) flags=$flags,$flag ;; esac
    done
    # Those of containers come and go.
    "$mount" -n -o "$flags" "$dir" || ! still "$mounted" || cannot ReadOnly "cannot close $dir"
  done </proc/self/mounts
esac
cd "$here" || cannot Dir "cannot enter $here"
exec "$@"'

# Sets close to the command before all others that makes the task's view, with separators; empty where it has the device's.
find_closed() {
  close=
  [ -n "$closed" ] || return 0
  field=$spec.ReadOnly own_folder=$state/tasks/$id
  case $closed in
    tmp) field=$spec.PrivateTmp ;;
    root | 'root tmp') ;;
    *) refuse request "no view: $closed" ;;
  esac
  [ "$me" = 0 ] || refuse "$field" "only an agent that runs as root can give it to a task"
  case $closed:$own_folder in
    *tmp:/tmp/* | *tmp:/var/tmp/*) refuse "$field" "the agent's own folder is in there: $own_folder" ;;
  esac
  look_for unshare && unshare=$found && look_for mount || refuse "$field" "this device has no unshare or mount"
  set -- "$unshare" -m --propagation slave /bin/sh -c "$CLOSE" sh "$number" "$spec" "$closed" "$own_folder" \
    "${folder:-$own_folder}" "$found"
  IFS=$separator
  close="$*"
  unset IFS
}

# Sets device_groups to the groups by which the task's user gets at the devices that it names, with commas.
find_devices() {
  device_groups=
  [ -n "$devices" ] || return 0
  set -f
  IFS=$NEWLINE
  set -- $devices
  unset IFS
  set +f
  for device; do
    case $device/ in
      *//* | */./* | */../*) refuse $spec.Devices "has //, . or .. in it: $device" ;;
      /dev/*) ;;
      *) refuse $spec.Devices "not in /dev: $device" ;;
    esac
    # A link counts by what it leads to.
    real=$(readlink -f -- "$device") && { [ -c "$real" ] || [ -b "$real" ]; } ||
      refuse $spec.Devices "no such device: $device"
    is_listed "$real" "$DEVICES" || refuse $spec.Devices "not let in by $DEVICES: $real"
    add_device_group
  done
}

# Adds the group of the device called `real`, unless everybody gets at it, or we ourselves are meant and do.
add_device_group() {
  if [ "$me" != 0 ]; then
    [ -r "$real" ] && [ -w "$real" ] || refuse $spec.Devices "the agent's own user does not get at it: $real"
    return
  fi
  set -- $(stat -c '%a %g' "$real")
  case $1 in
    *[67]) ;;
    *[67]?)
      [ "$2" != 0 ] || refuse $spec.Devices "belongs to root's group alone: $real"
      device_groups=${device_groups:+$device_groups,}$2
      ;;
    *) refuse $spec.Devices "its group may not read and write it: $real" ;;
  esac
}
