#!/bin/sh
# The second program that the agent's sandbox may run: it makes and removes what the node has of the cluster's networks. What an
# agent says in its environment ends here; see shim.sh. The rest is in network_server.sh.
exec /usr/bin/env -i /usr/bin/setsid /bin/sh "${0%/*}/network_server.sh" "$@"
