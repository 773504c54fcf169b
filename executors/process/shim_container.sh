# What a container may have of the device: the part of the shim that decides. Read by shim_server.sh when it is asked.
#
# /etc/covey/containers lists it, a kind and an exact value or shell pattern a line (`*` matches `/` too; `#` starts a comment):
#   device PATH        a device below /dev, or a folder of them; of symbolic links counts what they lead to
#   privileged IMAGE   an image, as a service names it, whose containers may be privileged
# It belongs to root, and nobody else may write it. Without such a file nothing is let in.

CONTAINERS=/etc/covey/containers

# judge_container KIND VALUE...: answers  let in  and then a line for each device, what it leads to; or  refused MESSAGE.
judge_container() {
  find_containers_list
  answer='let in'
  while [ $# -gt 1 ]; do
    case $1 in
      device) judge_device "$2" && answer=$answer$NEWLINE$path ;;
      privileged) may_have privileged "$2" ;;
      *) deny "no kind of thing to have: $1" ;;
    esac
    shift 2
  done
  printf '%s\n' "$answer"
}

# Sets why_not to why the list lets nothing in; empty where it may.
find_containers_list() {
  find_why_not "$CONTAINERS"
  # is_let_in looks there.
  POLICY=$CONTAINERS policy=yes
}

# Sets path to what the device's path leads to.
judge_device() {
  path=
  case $1 in /dev/?*) path=$(readlink -f -- "$1") ;; *) deny "no path below /dev: $1" ;; esac
  # Not before, or the answer would tell who is let in nowhere what there is.
  may_have device "${path:-$1}"
  case $path in /dev/?*) [ -c "$path" ] || [ -b "$path" ] || [ -d "$path" ] ;; *) false ;; esac || deny "no such device: $1"
}

may_have() {
  [ -z "$why_not" ] || deny "$1 $2 is not let in, $why_not"
  is_let_in "$1" "$2" || deny "$1 $2 is not let in by $CONTAINERS"
}

deny() {
  printf 'refused %s\n' "$1"
  exit 0
}
