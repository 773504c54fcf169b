# Files that only memory holds: the part of the shim that keeps secrets and configs. Read by shim_server.sh.
#
# PLACE/covey-UID/STATE/ID/PART/NAME, with the checksum of the state folder's path for STATE. Everything down to ID belongs to who
# runs the shim; ID is given to the task's user when its program starts, and nobody else gets into it.

# is_id TEXT: true for what can be the name of a task's folder.
is_id() { case $1 in '' | [!A-Za-z0-9]* | *[!A-Za-z0-9_.-]*) return 1 ;; esac }

# is_memory FOLDER: true if a file system that is in memory is mounted there.
is_memory() {
  while read -r _ mount type _; do
    [ "$mount" = "$1" ] && case $type in tmpfs | ramfs) return 0 ;; esac
  done </proc/mounts
  return 1
}

# is_own FOLDER MODE: true for a folder, no link, of who runs this; makes it if there is nothing.
is_own() {
  [ -e "$1" ] || mkdir -m "$2" "$1" 2>/dev/null
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]
}

# Sets kept_base to the folder of this state folder's tasks; fails on a device without a memory file system.
find_memory() {
  for place in /dev/shm /run; do
    is_memory "$place" && is_own "$place/covey-$(id -u)" 711 || continue
    set -- $(printf %s "$state" | cksum)
    kept_base=$place/covey-$(id -u)/$1-$2
    return 0
  done
  return 1
}

# keep ID PART NAME MODE UID GID
keep() {
  is_id "$1" || no "no ID: $1"
  case $2 in secrets | configs | env) ;; *) no "no part: $2" ;; esac
  case $3 in '' | . | .. | */*) no "no name of a file: $3" ;; esac
  case $4 in 0[0-7][0-7][0-7]) ;; *) no "no mode: $4" ;; esac
  is_number "$5" $MAX_ID && is_number "$6" $MAX_ID || no "no owner: $5:$6"
  find_memory || no "this device has no memory file system for them, and they are never written to a disk"
  file=$kept_base/$1/$2/$3 new=.new.$$
  # Who had a program run may have put anything into a folder that was given away: what counts is where this stands then.
  is_own "$kept_base" 711 && { [ -e "$kept_base/$1" ] || mkdir -m 700 "$kept_base/$1"; } &&
    { [ -e "$kept_base/$1/$2" ] || { is_own "$kept_base/$1" 700 && mkdir -m 755 "$kept_base/$1/$2"; }; } &&
    cd "$kept_base/$1/$2" 2>/dev/null && [ "$(pwd -P)" = "$kept_base/$1/$2" ] && [ -O . ] ||
    no "not a folder of the agent's own: $kept_base/$1/$2"
  # A program that reads it has all of the old file or all of the new one.
  cat >"$new" && chmod "$4" "$new" || { rm -f "$new"; no "cannot write $file"; }
  # What belonged to the task's user goes on to.
  if [ "$5:$6" = 0:0 ] && [ -e "$3" ]; then set -- "$1" "$2" "$3" "$4" $(stat -c '%u %g' "$3"); fi
  # Who is not root cannot give files away: then 0, which is what nobody has chosen, stays its own.
  chown "$5:$6" "$new" 2>/dev/null || [ "$5:$6" = 0:0 ] ||
    { rm -f "$new"; no "only an agent that runs as root can give $3 to $5:$6"; }
  mv -f "$new" "$3" || no "cannot write $file"
  echo "kept $file"
}

no() {
  printf 'refused %.3000s\n' "$*"
  exit 125
}

# Gives the task's user its folder and, where nobody was named whom a file shall belong to, what is in there. Part of `run`.
give_kept() {
  [ -n "$kept" ] || return 0
  [ -z "$unnamed" ] || find "$kept/secrets" "$kept/configs" -type f -user 0 -exec chown -h "$uid:$gid" {} + 2>/dev/null
  chown -h "$uid:$gid" "$kept"
}

# Sets kept to the folder of the task's files, kept_names to the variables in there, and adds those that lead to it. Part of `run`.
find_kept() {
  kept_names=
  [ -n "$kept" ] || return 0
  find_memory && kept=$kept_base/$id && [ -d "$kept" ] && [ ! -L "$kept" ] && { [ -n "$entering" ] || [ -O "$kept" ]; } ||
    refuse Secrets "they are not in memory"
  variables="${variables}COVEY_SECRETS_DIR=$kept/secrets${separator}COVEY_CONFIGS_DIR=$kept/configs$separator"
  for file in "$kept"/env/*; do
    [ -f "$file" ] || continue
    [ -z "$listed" ] || ! is_loader "${file##*/}" || refuse Secrets "${file##*/} is refused while there is $ALLOW"
    kept_names="$kept_names ${file##*/}"
  done
}
