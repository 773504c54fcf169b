/** What the comparison with Docker Swarm runs on both sides, and where the two differ on purpose. */

/**
 * What a line begins with that is run from the start of the script on, beside all others. It changes nothing, and takes
 * long: Docker looks for a plugin for 15 s.
 */
export const EARLY = "early ";

/**
 * One command of the stock client a line. `settle SERVICE COUNT` waits on each side until that many tasks of the service run
 * and all others have ended or found no node; `mark` remembers the time as $MARK. Quotes keep blanks; $NODE is the node's
 * name, $SOON the time half a second later.
 */
export const PARITY_SCRIPT: readonly string[] = `
version --format {{.Client.Version}}
info
info --format '{{json .Swarm}}'
swarm join-token worker
swarm join-token manager
swarm join-token -q worker
swarm join-token -q --rotate manager
swarm join-token --rotate worker
swarm join-token nobody
swarm unlock-key
swarm update --task-history-limit 3 --dispatcher-heartbeat 4s --max-snapshots 3
swarm update --cert-expiry 1m
swarm update --cert-expiry 1000h
swarm update
info
swarm update --task-history-limit 20 --dispatcher-heartbeat 5s --cert-expiry 2160h --max-snapshots 0
swarm init
swarm join --token nonsense 127.0.0.1:1
swarm leave
node ls
node ls -q
node ls --filter role=manager
node ls --filter role=boss
node ls --filter name=nobody
node ls --filter nonsense=1
node ls --format '{{json .}}'
node inspect self
node inspect --pretty self
node inspect nobody
node ps self
mark
node update --label-add rack=a --label-add zone=a $NODE
node inspect self --format '{{json .Spec}}'
node update --label-rm rack $NODE
node update --label-rm rack $NODE
node update --availability pause $NODE
node update --availability asleep $NODE
node inspect self --format '{{json .Spec}}'
node update --availability active $NODE
node update --availability active self
events --since $MARK --until $SOON --filter scope=swarm
node rm $NODE
node demote $NODE
node promote $NODE
node update --role boss $NODE
node update $NODE

mark
service ls
service create --name bad/name busybox:local
service create --detach --name bad --constraint node.role=manager busybox:local
service create --detach --name bad --constraint 'node.role==a b!' busybox:local
service create --detach --name bad --limit-memory 1k busybox:local
service create --detach --name bad --reserve-cpu 0.0001 busybox:local
service create --detach --name bad --reserve-cpu lots busybox:local
service create --detach --name bad --limit-memory much busybox:local
service create --detach --name bad --replicas many busybox:local
service create --detach --name bad --replicas -1 busybox:local
service create --detach --name bad --mode some busybox:local
service create --detach --name bad --mode global --replicas 2 busybox:local
service create --detach --name bad --restart-condition sometimes busybox:local
service create --detach --name bad --restart-delay soon busybox:local
service create --detach --name bad --update-failure-action panic busybox:local
service create --detach --name bad --update-max-failure-ratio 3 busybox:local
service create --detach --name bad --update-order random busybox:local
service create --detach --name bad --env '' busybox:local
service create --detach --name bad --mount type=bind busybox:local
service create --detach --name bad --no-resolve-image Busy_Box
service create --detach --name bad --stop-grace-period never busybox:local
service create --detach \
--name aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg busybox:local
service create --detach
service create --detach --no-such-flag busybox:local
service ls

service create --name web --replicas 2 --update-monitor 1s --update-parallelism 2 --rollback-monitor 1s \
--rollback-parallelism 2 --init --env A=b --env C=d --label tier=front --limit-memory 64m \
--reserve-cpu 0.1 --limit-cpu 0.5 --reserve-memory 16m --restart-condition any --restart-delay 100ms \
--constraint node.role==manager --constraint 'node.labels.zone == a' busybox:local sleep 1000
settle web 2
service create --detach --name web busybox:local
service create --detach --name WEB busybox:local
events --since $MARK --until $SOON --filter scope=swarm
service ls
service ps web
service ps web --no-trunc --format '{{json .}}'
service inspect web
service inspect --pretty web
service create --name everywhere --mode global --init --restart-condition on-failure \
--restart-max-attempts 3 --restart-window 1m --update-monitor 1s --workdir /tmp --user 0 --hostname dev busybox:local sleep 1000
settle everywhere 1
service ls
service ps everywhere
service inspect everywhere
service inspect --pretty everywhere
mark
service scale everywhere=2
service scale web=3 everywhere=2
settle web 3
service scale web=many
service scale web
service scale nobody=2
service scale --detach web=2
settle web 2
service ps web
service update --detach --image busybox:next web
settle web 2
service ps web
service inspect --pretty web
service update --force web
settle web 2
events --since $MARK --until $SOON --filter scope=swarm
service ps web --filter desired-state=running
service ps web --filter desired-state=shutdown
service ps web --filter desired-state=sleeping
service ps web --filter name=web.1
service ps web --filter node=self
service ps web --filter node=nobody
service ps web -q
service ps web nobody
service ps nobody
service update --rollback web
settle web 2
service rollback --detach web
settle web 2
service inspect --pretty web
service inspect web
service rollback everywhere
mark
service update --detach --env-add E=f --env-rm A --env-rm C --label-add x=y \
--constraint-rm node.role==manager --limit-memory 32m --args 'sleep 500' web
settle web 2
service inspect web --format '{{json .Spec}}'
service update --detach --replicas 1 everywhere
service update --detach --image Bad_Image web
service update --detach --update-parallelism 2 --update-delay 1s --update-failure-action rollback web
service update --detach --update-order start-first --rollback-parallelism 2 web
service inspect --pretty web
service update nobody
service update web
service ls --filter name=we
service ls --filter mode=global
service ls --filter label=tier=front
service ls --filter label=x
service ls --filter mode=odd
service ls --filter colour=red
service ls --format '{{json .}}'
service ls -q
node ps self
node ps self --filter desired-state=running
node ps nobody
service inspect nobody
service inspect nobody web --format '{{.Spec.Name}}'
service rm nobody
service logs nobody
events --since $MARK --until $SOON --filter scope=swarm
events --since $MARK --until $SOON --filter service=everywhere
events --since yesterday

service create --detach --name pending --init --constraint node.role==worker --container-label a=b \
--hostname '{{.Node.Hostname}}' --dns 10.0.0.1 --dns-search local --dns-option ndots:1 \
--host here:10.0.0.2 --mount type=bind,source=/srv,target=/srv,readonly \
--mount type=volume,source=data,target=/data --mount type=tmpfs,target=/run,tmpfs-size=1m \
--health-cmd true --health-interval 10s --health-retries 2 --health-timeout 1s --stop-signal SIGINT \
--stop-grace-period 3s --cap-add NET_ADMIN --cap-drop CHOWN --sysctl net.core.somaxconn=10 \
--ulimit nofile=10:20 --read-only --tty --log-driver json-file --log-opt max-size=1m --limit-pids 10 \
--replicas-max-per-node 1 --placement-pref spread=node.labels.zone --generic-resource gpu=1 --group 5 \
--publish mode=host,target=80,published=18080 --endpoint-mode dnsrr --update-delay 5s \
--update-failure-action rollback --update-max-failure-ratio 0.2 \
--rollback-order start-first busybox:local sleep 1000
service create --detach --name huge --init --reserve-memory 9000g busybox:local sleep 1000
service create --detach --name once --restart-condition none busybox:local true
service create --detach --name fails --restart-condition none busybox:local false
service create --detach --name missing --restart-condition none busybox:local nosuchprogram
service create --detach --name noimage --restart-condition none busybox:nosuch
settle once 0
settle fails 0
settle missing 0
settle noimage 0
settle pending 0
settle huge 0
service ps pending --no-trunc
service inspect pending
service inspect --pretty pending
service inspect --pretty once
service ps huge --no-trunc
service ps once --no-trunc
service ps fails --no-trunc
service ps missing --no-trunc
service ps noimage --no-trunc
service ls
mark
node update --availability drain $NODE
settle web 0
settle everywhere 0
node ls
node inspect --pretty self
service ls
service ps web
service ps everywhere
node update --availability active $NODE
settle web 2
settle everywhere 1
service ls
service ps everywhere
service rm pending huge once fails missing noimage
service rm everywhere
service rm web nobody
service ls
service ps web
events --since $MARK --until $SOON --filter scope=swarm
events --since $MARK --until $SOON --filter type=node --filter event=update \
--format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'
mark
service create --detach --name bad --mode replicated-job --update-parallelism 2 busybox:local true
service create --detach --name bad --mode replicated-job --rollback-parallelism 2 busybox:local true
service create --detach --name bad --mode global-job --replicas 2 busybox:local true
service create --detach --name bad --mode global-job --max-concurrent 2 busybox:local true
service create --detach --name bad --mode replicated --max-concurrent 2 busybox:local true
service create --detach --name bad --mode replicated-job --max-concurrent -1 busybox:local true
service create --detach --name bad --mode replicated-job --replicas lots busybox:local true
service create --quiet --name job --init --mode replicated-job --replicas 3 --max-concurrent 2 busybox:local true
service create --quiet --name jobs --init --mode global-job --restart-condition on-failure busybox:local true
settle job 0
settle jobs 0
service ls
service ls --filter mode=replicated-job
service ls --filter mode=global-job
service ps job
service ps jobs
service ps jobs --format '{{json .}}'
service inspect job --format '{{json .Spec}} {{.JobStatus.JobIteration.Index}}'
service inspect jobs --format '{{json .Spec}} {{.JobStatus.JobIteration.Index}}'
service inspect --pretty job
service rollback --detach job
service update --quiet --label-add a=b job
settle job 0
service ls
service ps job
service inspect job --format '{{json .UpdateStatus}} {{.JobStatus.JobIteration.Index}}'
service update --detach --replicas 4 job
service update --detach --update-parallelism 2 job
service scale --detach jobs=2
service scale --quiet job=1
settle job 0
service ls
service ps job
service create --detach --name long --init --mode replicated-job --replicas 3 --max-concurrent 2 busybox:local \
sleep 1000
service create --quiet --name failed --init --mode replicated-job --restart-condition none --detach busybox:local false
settle failed 0
service ps failed
service ls
events --since $MARK --until $SOON --filter scope=swarm
service rollback --quiet job
service inspect job --format '{{json .Spec.Mode}} {{.JobStatus.JobIteration.Index}}'
service ps job
service rm long failed job jobs
network ls --filter scope=swarm --format '{{.Name}} {{.Driver}} {{.Scope}}'
mark
network create --driver overlay --internal --attachable --subnet 10.77.0.0/16 --ip-range 10.77.4.0/24 \
--gateway 10.77.0.9 --label a=b --opt com.docker.network.driver.mtu=1300 shop
network create --driver overlay plain
network create --driver overlay shop
network create --driver overlay bad/name
network create --driver overlay aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg
network create --driver overlay --subnet 10.78.0.0/24 --gateway 10.79.0.1 bad
network create --driver overlay --subnet 10.78.0.0/24 --ip-range 10.79.0.0/24 bad
network create --driver overlay --subnet nonsense bad
early network create --driver overlay --ipam-driver nosuch bad
network create --driver overlay --scope local bad
network create --driver overlay --ingress second
network create --driver overlay --ingress --attachable second
network create --driver overlay host
network create --driver overlay none
network ls --filter scope=swarm --format '{{.Name}} {{.Driver}} {{.Scope}}'
network ls --filter scope=swarm --filter label=a=b --format '{{.Name}}'
network ls --filter scope=swarm --filter name=plain --format '{{.Name}}'
network ls --filter driver=overlay --filter type=custom --format '{{.Name}}'
network ls --filter type=odd
network ls --filter dangling=odd
network ls --filter nonsense=1
network inspect shop --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}} {{.Attachable}} {{.Ingress}} {{.Labels}}'
network inspect shop --format '{{json .IPAM.Config}} {{.IPAM.Driver}} {{json .Options}}'
network inspect plain --format '{{json .IPAM.Config}} {{json .Options}}'
network inspect ingress --format '{{json .IPAM.Config}} {{.Ingress}} {{json .Options}}'
network inspect nobody
network inspect SHOP
service create --detach --name bad --network nobody busybox:local
service create --detach --name bad --network ingress busybox:local
network rm nobody
network rm plain shop
network rm host
network ls --filter scope=swarm --format '{{.Name}}'
config ls
secret ls
secret create --label a=b mystery /etc/hostname
secret create second /etc/hostname
config create others /etc/hostname
secret create mystery /etc/hostname
secret create --template-driver golang bad-name- /etc/hostname
config create settings /etc/hostname
secret ls --format '{{.Name}} {{.Labels}}'
secret inspect mystery --format '{{json .Spec}}'
secret inspect nobody
config inspect settings --format '{{.Spec.Name}}'
service create --detach --name keeper --replicas 0 --secret mystery --secret source=mystery,target=/etc/m,uid=7,mode=0400 \
--config settings busybox:local
service create --detach --name bad --secret nobody busybox:local
service create --detach --name bad --config nobody busybox:local
service inspect keeper --format '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{if eq .File.Name "/etc/m"}}{{json .File}}{{.SecretName}}{{end}}{{end}}'
service inspect keeper --format '{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{if ne .File.Name "/etc/m"}}{{json .File}}{{.SecretName}}{{end}}{{end}}'
secret rm mystery
config rm settings
service create --detach --name bad --secret source=mystery,mode=0888 busybox:local
service create --detach --name bad --secret source=mystery,nonsense=1 busybox:local
service create --detach --name bad --secret mystery --secret mystery busybox:local
service create --detach --name bad --mount type=nosuch,target=/x busybox:local
service create --detach --name bad --mount type=bind,source=/a,target=/b,bind-propagation=odd busybox:local
service create --detach --name bad --mount type=tmpfs,target=/x,tmpfs-size=much busybox:local
service create --detach --name bad --mount type=tmpfs,target=/x --mount type=tmpfs,target=/x busybox:local
service create --detach --name bad --ulimit nofile busybox:local
service create --detach --name bad --ulimit nofile=9:3 busybox:local
service create --detach --name bad --host nowhere busybox:local
service create --detach --name bad --dns nowhere busybox:local
service create --detach --name bad --health-cmd true --no-healthcheck busybox:local
service create --detach --name bad --health-retries -1 --health-cmd true busybox:local
service create --detach --name bad --health-interval 1us --health-cmd true busybox:local
service create --detach --name bad --env-file /nonexistent busybox:local
service create --detach --name bad --generic-resource gpu=some busybox:local
service create --name outcome --restart-condition none --env-file /etc/os-release --env A=b --hostname dev --user 0:5 \
--secret mystery --secret source=second,target=/etc/m,uid=7,gid=8,mode=0400 \
--config settings --config source=others,target=/etc/s,uid=9,mode=0640 \
--mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0710 --mount type=bind,source=/etc,target=/b,readonly \
--mount type=volume,source=outcome,target=/v,volume-label=a=b --ulimit nofile=100:200 --ulimit core=0 \
--cap-drop CHOWN --sysctl net.core.somaxconn=77 --group 7 --dns 10.0.0.1 --dns-search lan --dns-option ndots:3 \
--host box:10.0.0.2 --limit-pids 50 --stop-signal SIGINT --workdir /tmp --entrypoint sh --with-registry-auth \
--no-resolve-image --isolation default --detach busybox:local -c 'cd / && ls -ln run/secrets etc/m etc/s settings | tr -s " " | \
cut -d" " -f1,3,4,5,9; sha256sum run/secrets/mystery etc/m etc/s settings; id -G; pwd; hostname; echo $A $ID; ulimit -n; ulimit -c; \
grep CapBnd proc/self/status; cat proc/sys/net/core/somaxconn etc/resolv.conf; grep box etc/hosts; stat -c %a t; df -k t | tail -n 1 | tr -s " " | \
cut -d" " -f2; touch v/x && echo wrote; touch b/x || echo refused'
settle outcome 0
service ps outcome
service logs --raw outcome
service inspect outcome --format '{{json .Spec.TaskTemplate.ContainerSpec.Mounts}} {{json .Spec.TaskTemplate.ContainerSpec.Ulimits}}'
service inspect outcome --format '{{json .Spec.TaskTemplate.ContainerSpec.DNSConfig}} {{json .Spec.TaskTemplate.ContainerSpec.Env}}'
service rm outcome
secret rm second
config rm others
service create --detach --name options --replicas 0 --init --mount type=bind,source=/a,target=/a,bind-propagation=rslave \
--mount type=bind,source=/n,target=/n,bind-nonrecursive \
--mount type=volume,source=v,target=/v,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-nocopy \
--mount type=tmpfs,target=/t,tmpfs-mode=0700 --health-cmd true --health-start-period 5s --cap-add ALL --cap-drop NET_RAW \
--update-order start-first --rollback-delay 3s --rollback-failure-action continue --rollback-max-failure-ratio 0.5 \
--rollback-monitor 7s --network shared --endpoint-mode vip --secret mystery --config settings busybox:local sleep 1000
service inspect options --format '{{json .Spec.TaskTemplate.ContainerSpec.Mounts}} {{json .Spec.TaskTemplate.ContainerSpec.Healthcheck}}'
service inspect options --format '{{json .Spec.RollbackConfig}} {{json .Spec.UpdateConfig}} {{json .Spec.EndpointSpec}}'
service inspect --pretty options
service update --detach --no-healthcheck --health-cmd true options
service update --detach --mount-rm /a --mount-add type=tmpfs,target=/more --cap-add CHOWN --cap-drop ALL --ulimit-add nproc=5 \
--sysctl-add net.core.somaxconn=5 --host-add box:10.0.0.9 --dns-add 10.0.0.3 --dns-search-add lan --dns-option-add ndots:1 \
--group-add 9 --container-label-add c=d --env-add X=y --hostname '{{.Service.Name}}' --read-only --tty --no-healthcheck \
--stop-signal SIGTERM --stop-grace-period 2s --user 5 --workdir /var --generic-resource-add gpu=2 \
--publish-add mode=host,target=81,published=18081 --placement-pref-add spread=node.labels.x --replicas-max-per-node 2 \
--constraint-add node.role==worker --log-driver local --log-opt max-size=2m --limit-pids 9 \
--limit-cpu 0.2 --reserve-memory 8m \
--secret-rm mystery --secret-add source=mystery,target=other --config-rm settings --config-add source=settings,target=/else options
service inspect options --format '{{json .Spec}}'
service update --detach --mount-rm /more --cap-drop CHOWN --ulimit-rm nproc \
--sysctl-rm net.core.somaxconn --host-rm box:10.0.0.9 \
--dns-rm 10.0.0.3 --dns-search-rm lan --dns-option-rm ndots:1 --group-rm 9 --container-label-rm c --env-rm X \
--read-only=false \
--tty=false --health-cmd true --generic-resource-rm gpu --publish-rm 81 --placement-pref-rm spread=node.labels.x \
--replicas-max-per-node 0 --constraint-rm node.role==worker --limit-pids 0 --entrypoint '' --init=false \
--rollback-order start-first \
--secret-rm mystery --config-rm settings options
service inspect options --format '{{json .Spec}}'
service rm options
service update --detach --secret-rm mystery --config-rm settings keeper
secret rm mystery nobody
config rm settings
service rm keeper
network rm shared
service create --detach --name seen --replicas 0 busybox:local
service logs seen
`.split("\n").filter((line) => line !== "");

/** Output that is not compared as it comes. */
export const DIFFERENT_OUTPUT: Record<string, { reason: string; adapt: (out: string) => string }> = {
  info: {
    reason:
      "all but the swarm is the engine's own and counts what runs on it; a pool is shown by what the swarm was started with",
    adapt: (out) =>
      (/^ Swarm: [^]*?(?=^ \S)/m.exec(out)?.[0] ?? out)
        .replaceAll(/^ +(?:Default Address Pool|SubnetSize): .*\n/gm, ""),
  },
  "info --format '{{json .Swarm}}'": {
    reason:
      "a pool of addresses, which Docker has or not by the client that started the swarm, is of no use here",
    adapt: (out) => out.replace(/"DefaultAddrPool":(?:null|\[.*?\])/, '"DefaultAddrPool":null'),
  },
  "node inspect self": {
    reason: "as whom programs run is told as a label of the engine, which Docker has no programs for",
    adapt: (out) => out.replace(/"Labels": \{\s+"covey\.task\.user": "\w+"\s+\},\s+(?="Plugins")/, ""),
  },
  "node inspect --pretty self": {
    reason: "as above",
    adapt: (out) => out.replace(/^Engine Labels:\n - covey\.task\.user=\w+\n/m, ""),
  },
  "service ps noimage --no-trunc": {
    reason:
      "where no registry answers, the task says why beside Docker's words, which are all that Docker tells",
    adapt: (out) => out.replace(/"No such image: (\S+) \(.*\)"/, '"No such image: $1"'),
  },
  "service ps job": {
    reason: "the client names the task of slot 0 by its node's ID, and puts it where that belongs",
    adapt: (out) => {
      const lines = out.split("\n"), isFirst = (line: string) => line.includes("job.<id>");
      return [...lines.filter((line) => !isFirst(line)), ...lines.filter(isFirst)].join("\n");
    },
  },
  version: {
    reason: "the server that answers is Covey, in front of the engine, and speaks a newer version than that",
    adapt: (out) =>
      out.replace(/^Server: Covey\n Covey:\n(?: {2}.*\n)+/m, "Server:\n").replace(/^ API version: .*$/m, ""),
  },
};

/** What Docker does and we refuse, each with the words of the refusal. */
export const NOT_YET: Record<string, RegExp> = {
  "swarm ca --rotate --detach": /rotating the root certificate is not available yet/,
};

/** Run with every version of the client that is installed. */
export const CLIENT_COMMANDS = [
  "version",
  "info",
  "node ls",
  "service ls",
  "service ps seen",
  "service inspect seen",
];

/** A request of the bare API: method, path, body. */
type Request = [method: string, path: string, body?: unknown];

const seen = {
  Name: "seen",
  TaskTemplate: { ContainerSpec: { Image: "busybox:local" } },
  Mode: { Replicated: { Replicas: 0 } },
};
const node = { Role: "manager", Availability: "active" };

/** Requests that the stock client does not send; all are refused. $NODE is the node's name. */
export const API_ERRORS: Request[] = [
  ["POST", "/services/seen/update?version=1", seen],
  ["POST", "/services/seen/update?version=one", seen],
  ["POST", "/services/seen/update", seen],
  ["POST", "/services/nobody/update?version=1", seen],
  ["POST", "/services/seen/update?version=9&rollback=backwards", seen],
  ["POST", "/services/seen/update?version=9", { ...seen, Name: "other" }],
  ["POST", "/services/seen/update?version=9", { ...seen, Mode: { Global: {} } }],
  ["POST", "/services/create", { ...seen, TaskTemplate: { ContainerSpec: {} } }],
  ["POST", "/services/create", { ...seen, TaskTemplate: {} }],
  ["POST", "/services/create", { ...seen, Mode: { Global: {}, Replicated: {} } }],
  ["POST", "/services/create"],
  ["GET", "/tasks/nobody"],
  ["GET", "/services/nobody"],
  ["GET", "/nodes/nobody"],
  ["DELETE", "/nodes/nobody"],
  ["POST", "/nodes/$NODE/update?version=1", node],
  ["POST", "/nodes/$NODE/update?version=x", node],
  ["POST", "/nodes/$NODE/update?version=9", { ...node, Role: "boss" }],
  ["POST", "/swarm/update?version=999999", { Name: "default" }],
  ["POST", "/swarm/update?version=x", { Name: "default" }],
  ["POST", "/swarm/update?version=9", { Name: "other" }],
  ["PUT", "/services"],
  ["GET", "/nothing"],
];

/** Leaves both sides without a service. */
export const REMOVE_ALL = "service rm seen";
