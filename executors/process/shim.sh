#!/bin/sh
# All that the agent's sandbox may run (or shim_clean.sh, which does the same). What an agent says in its environment (functions that bash would take over, above all)
# ends here: `exec` is a special builtin, which no such function hides. The rest is in shim_server.sh, whose session is its
# own: neither Ctrl-C nor a signal to the agent's process group reaches it.
exec /usr/bin/env -i /usr/bin/setsid /bin/sh "${0%/*}/shim_server.sh" "$@"
