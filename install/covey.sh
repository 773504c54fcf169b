#!/bin/sh
# The covey command of an installed program, in the sandbox that `deno task covey` has.
set -eu
self=$(readlink -f -- "$0")
root=${self%/bin/covey}
export COVEY_DENO="$root/bin/deno" DENO_DIR="$root/cache" DENO_NO_UPDATE_CHECK=1
# An agent that runs holds its folder, and its service would start it again.
if [ "$*" = leave ]; then exec "$root/install.sh" --leave; fi
exec "$root/bin/deno" run --no-prompt --quiet --no-config --allow-read --allow-env --allow-net --allow-write --allow-sys \
  --allow-run="$root/agent/launch.sh" "$root/cli/main.js" "$@"
