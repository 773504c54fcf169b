#!/bin/sh -p
# network.sh for a shell that knows -p; see shim_clean.sh.
exec /usr/bin/env -i /usr/bin/setsid /bin/sh "${0%/*}/network_server.sh" "$@"
