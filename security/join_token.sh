# For the launchers: where the join token comes from. It is handed on in the environment, which other users cannot read: what stands
# in a process's flags, everybody on the machine can.
#
# take_token FLAG VALUE: sets COVEY_JOIN_TOKEN from `--token TEXT`, `--token -` (a line of standard input) or `--token-file FILE`;
# without a flag it stays what it is.
take_token() {
  where=$2
  case "$1 $2" in
    '--token -')
      where='standard input'
      [ ! -t 0 ] || printf 'Join token: ' >&2
      IFS= read -r COVEY_JOIN_TOKEN || :
      ;;
    '--token '*) COVEY_JOIN_TOKEN=$2 ;;
    # Somebody who mixes the two flags up shall not read the token in a log.
    '--token-file SWMTKN-'*) echo "Cannot read the join token: --token-file wants a file, not the token" >&2 && exit 1 ;;
    '--token-file '*)
      if ! [ -f "$2" ] || ! [ -r "$2" ]; then
        echo "Cannot read the join token: there is no file $2 that this user may read" >&2
        exit 1
      fi
      IFS= read -r COVEY_JOIN_TOKEN <"$2" || :
      ;;
    *) return 0 ;;
  esac
  if [ -z "$COVEY_JOIN_TOKEN" ]; then
    echo "Cannot read the join token: there is none in the first line of ${where:-nothing}" >&2
    exit 1
  fi
  export COVEY_JOIN_TOKEN
}
