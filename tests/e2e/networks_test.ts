/** Real hosts, engines and agents: what the cluster's networks are to a container, and what is left of them. */
import assert from "node:assert/strict";
import { NetworkHosts, noNetworkHosts } from "../support/network_hosts.ts";

const WHY_NOT = noNetworkHosts();
if (WHY_NOT !== "") console.log(`without hosts of their own: ${WHY_NOT}`);

/** Says its own name to everybody who asks. */
const SERVE = "mkdir -p /w; hostname >/w/index.html; exec httpd -f -p 80 -h /w";
/** A busybox that is linked statically looks up no name in wget; nc does. */
const ask = (name: string, times: number) =>
  `for i in $(seq ${times}); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${name} 80 | tail -n 1; done 2>&1; `;
const lookup = (name: string) => `nslookup ${name} 2>&1 | sed -n '/^Name/,$s/^Address: //p'`;
const words = (text: string) => text.split(/\s+/).filter((word) => word !== "").sort();

/** All of a host that networks could change. An engine may put its own jump twice, so what comes twice counts once. */
function stateOf(hosts: NetworkHosts, host: number): string {
  return hosts.on(
    host,
    "sh",
    "-c",
    "ip -br link | awk '{ print $1 }'; ip route; ip rule; nft list table inet mine 2>/dev/null; iptables-save | grep -v '^#' | sed 's/\\[.*//' | uniq; nft list tables; " +
      "cat /proc/sys/net/ipv4/ip_forward",
  );
}

/** Requests one after the other from a host; how many of `times` were answered. */
function answered(hosts: NetworkHosts, host: number, url: string, times: number): number {
  const text = hosts.on(
    host,
    "sh",
    "-c",
    `curl -s -m 10 -o /dev/null -w '%{http_code}\\n' '${url}/?[1-${times}]' || :`,
  );
  return text.split("\n").filter((code) => code === "200").length;
}

Deno.test({
  name:
    "Networks: containers of two hosts find each other, ports are answered on both, and nothing is left after",
  ignore: WHY_NOT !== "", // the reason is printed
  fn: async () => {
    const hosts = new NetworkHosts(2);
    try {
      await hosts.startEngines();
      hosts.on(0, "iptables", "-P", "FORWARD", "DROP");
      hosts.on(
        1,
        "nft",
        "table inet mine { chain c { type filter hook input priority 0; tcp dport 9 drop; }; }",
      );
      hosts.on(1, "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "9", "-j", "DROP");
      const before = [stateOf(hosts, 0), stateOf(hosts, 1)];
      await hosts.startNodes();
      assert.deepEqual(
        [stateOf(hosts, 0), stateOf(hosts, 1)],
        before,
        "a node without networks changes nothing",
      );
      const nodes = words(hosts.swarm("node", "ls", "-q"));
      await makeServices(hosts);
      await hosts.until("the rules are loaded", () => {
        const of = (host: number) =>
          new Set(words(hosts.inside(host, "web", ask("web.shop", 9) + ask("web.closed", 9)))).size;
        return of(0) === 2 && of(1) === 2;
      });
      await makePrograms(hosts);
      await checkSources(hosts);
      checkNames(hosts);
      checkPrograms(hosts);
      checkPorts(hosts);
      checkUpdate(hosts);
      await checkRestart(hosts);
      await checkStop(hosts);
      await checkRefused(hosts);
      hosts.swarm("service", "rm", "web", "direct", "meter");
      await hosts.until(
        "the containers are gone",
        () => hosts.docker(0, "ps", "-q") + hosts.docker(1, "ps", "-aq") === "",
      );
      await hosts.until("host 0 is as it was", () => stateOf(hosts, 0) === before[0]).catch((thrown) => {
        assert.equal(stateOf(hosts, 0), before[0], thrown.message);
        throw thrown;
      });
      await hosts.stopNodes();
      hosts.leave(1);
      assert.equal(stateOf(hosts, 1), before[1]);
      const files = `ls -A /run/netns /run/covey-names ${hosts.folder}/state1 2>/dev/null || :`;
      const left = hosts.on(1, "sh", "-c", files);
      assert.ok(![...nodes, "networks.json"].some((name) => left.includes(name)), left);
      const engineNetworks = hosts.docker(1, "network", "ls", "--format", "{{.Name}}");
      assert.deepEqual(words(engineNetworks), ["bridge", "host", "none"]);
    } finally {
      await hosts.remove();
    }
  },
});

async function makeServices(hosts: NetworkHosts): Promise<void> {
  hosts.swarm("network", "create", "-d", "overlay", "shop");
  hosts.swarm("network", "create", "-d", "overlay", "--internal", "closed");
  const each = ["--mode", "global", "--no-resolve-image", "--detach", "--stop-signal", "KILL"];
  const image = ["busybox:local", "sh", "-c", SERVE];
  const both = ["--network", "name=shop,alias=front", "--network", "closed", "-p", "8080:80"];
  hosts.swarm("service", "create", "--name", "web", ...each, ...both, ...image);
  const alone = ["--network", "closed", "--endpoint-mode", "dnsrr"];
  hosts.swarm("service", "create", "--name", "direct", ...each, ...alone, ...image);
  for (const name of ["web", "direct"]) {
    await hosts.until(`${name} runs on both hosts`, () => {
      const states = hosts.swarm("service", "ps", name, "--format", "{{.CurrentState}}").trim().split("\n");
      return states.length === 2 && states.every((state) => state.startsWith("Running"));
    });
  }
}

/** Who asks by a service's address is seen by its own, also by itself; no address's ports are shared by all of a host. */
async function checkSources(hosts: NetworkHosts): Promise<void> {
  const both = [0, 1], asked = ask("web.shop", 9).replaceAll(" 80 ", " 81 ");
  for (const host of both) hosts.inside(host, "web", "(httpd -f -vv -p 81 -h /w >/log 2>&1 &)");
  const own = both.flatMap((host) =>
    addressesIn(hosts.inside(host, "web", "ip -4 -o addr"), /inet ([\d.]+)/g)
  );
  await hosts.until("tasks are seen by their own addresses", () => {
    for (const host of both) hosts.inside(host, "web", asked);
    const logs = both.map((host) => hosts.inside(host, "web", "cat /log"));
    // The last ones: the first may have come before all was loaded.
    const seen = logs.map((log) => addressesIn(log, /([\d.]+)\]?:\d+: ?url/g).slice(-9));
    return seen.every((sources) =>
      new Set(sources).size === 2 && sources.every((address) => own.includes(address))
    );
  });
  const clock = hosts.inside(0, "web", "cat /proc/sys/net/ipv4/tcp_timestamps").trim();
  assert.equal(clock, "2", "a port may come again at once");
}

function addressesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, address]) => address!);
}

/** Programs of the devices, without a container, in the same networks. */
async function makePrograms(hosts: NetworkHosts): Promise<void> {
  const id = hosts.swarm("network", "ls", "-q", "--no-trunc", "--filter", "name=shop").trim();
  const script = "echo $DEVICE >index.html; exec busybox httpd -f -p 80 -h .";
  hosts.post("/services/create", {
    Name: "meter",
    TaskTemplate: {
      Runtime: "process",
      ProcessSpec: {
        Command: "sh",
        Args: ["-c", script],
        Env: ["DEVICE={{.Node.Hostname}}"],
        StopGracePeriod: 1e9,
      },
      Networks: [{ Target: id }],
    },
    Mode: { Global: {} },
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort: 8090, PublishMode: "host" }] },
  });
  await hosts.until(
    "meter runs on both hosts",
    () => hosts.task(0, "meter") !== undefined && hosts.task(1, "meter") !== undefined,
  );
  await hosts.until(
    "meter is found",
    () => words(hosts.inside(1, "web", lookup("tasks.meter"))).length === 2,
  );
}

const get = (url: string) => `curl -s -m 5 http://${url}/; `;

function checkPrograms(hosts: NetworkHosts): void {
  for (const host of [0, 1]) {
    // Containers reach programs on either host, programs reach containers and each other, by names.
    const names = words(hosts.inside(host, "web", ask("meter", 20)));
    assert.deepEqual([...new Set(names)], ["host0", "host1"]);
    const web = words(hosts.insideProgram(host, "meter", get("meter").repeat(20) + get("web").repeat(20)));
    assert.equal(new Set(web).size, 4, web.join(" "));
    const closed = hosts.insideProgram(host, "meter", `${get("web.closed")} echo $?`);
    assert.equal(closed.trim(), "6", "it is not in that network");
    // Its port in host mode is its node's, and it gets out by its node.
    assert.equal(
      hosts.on(1 - host, "curl", "-s", "-m", "5", `http://${hosts.network.address(host)}:8090`),
      `host${host}\n`,
    );
    const out = hosts.insideProgram(host, "meter", get(`${hosts.network.address(1 - host)}:8090`));
    assert.equal(out, `host${1 - host}\n`);
  }
}

function checkNames(hosts: NetworkHosts): void {
  const names = [0, 1].map((host) => hosts.inside(host, "web", "hostname").trim()).sort();
  for (const host of [0, 1]) {
    assert.equal(words(hosts.inside(host, "web", lookup("web"))).length, 1, "one address stands for all");
    assert.deepEqual(
      hosts.inside(host, "web", lookup("front")),
      hosts.inside(host, "web", lookup("web.shop")),
      "an alias is the service",
    );
    assert.equal(words(hosts.inside(host, "web", lookup("tasks.web"))).length, 2);
    assert.equal(
      words(hosts.inside(host, "web", lookup("direct"))).length,
      2,
      "without an address of its own",
    );
    assert.equal(words(hosts.inside(host, "web", lookup("web.shop"))).length, 1);
    const [address] = words(hosts.inside(host, "web", lookup("web")));
    assert.match(hosts.inside(host, "web", `nslookup ${address}`), /name = web\.(shop|closed)/);
    const [near] = words(hosts.inside(host, "web", lookup("nearest.web.shop")));
    assert.ok(hosts.inside(host, "web", "ip addr").includes(` ${near}/`), `${near} is nearest`);
    assert.match(hosts.inside(host, "web", "cat /etc/resolv.conf"), /^options .*ndots:0/m);
    // The device itself, for who has a way out.
    hosts.on(host, "sh", "-c", "echo hello | timeout 20 busybox nc -l -p 9100 >/dev/null 2>&1 &");
    assert.equal(
      hosts.inside(host, "web", "sleep 0.3; nc -w 5 host.docker.internal 9100 </dev/null"),
      "hello\n",
    );
    assert.deepEqual(words(hosts.inside(host, "direct", lookup("host.docker.internal"))), []);
    // By the address of the service, both answer, one's own host's and the other's; so does a container with itself.
    assert.deepEqual([...new Set(words(hosts.inside(host, "web", ask("web", 30))))], names);
    assert.deepEqual([...new Set(words(hosts.inside(host, "direct", ask("web", 30))))], names);
    // Who is in a closed network alone knows nothing of others, and gets nowhere else.
    assert.deepEqual(words(hosts.inside(host, "direct", lookup("web.shop"))), []);
    assert.ok(!hosts.inside(host, "direct", "ip route").includes("default"));
    assert.match(hosts.inside(host, "web", "ip route"), /^default via .* dev eth0/m);
  }
}

function checkPorts(hosts: NetworkHosts): void {
  for (const host of [0, 1]) {
    for (const other of [hosts.network.address(0), hosts.network.address(1), "127.0.0.1"]) {
      assert.equal(answered(hosts, host, `http://${other}:8080`, 20), 20, `${host} asks ${other}`);
    }
  }
}

/** One after the other is replaced, the new one started first: nobody who asks is turned away. */
function checkUpdate(hosts: NetworkHosts): void {
  const states = () =>
    hosts.swarm("service", "inspect", "web", "--format", "{{with .UpdateStatus}}{{.State}}{{end}}").trim();
  const start = ["--update-order", "start-first", "--update-monitor", "1s", "--detach"];
  hosts.swarm("service", "update", ...start, "--env-add", "VERSION=2", "web");
  let asked = 0, good = 0;
  while (states() !== "completed") {
    for (const host of [0, 1]) {
      good += answered(hosts, host, `http://${hosts.network.address(1 - host)}:8080`, 50);
      asked += 50;
    }
    assert.ok(asked < 50_000, `the update is ${states()}`);
  }
  assert.equal(good, asked);
}

/** Networks need no agent while nothing changes, and one that starts finds them as they are. */
async function checkRestart(hosts: NetworkHosts): Promise<void> {
  const container = hosts.container(1, "web"),
    namesOf = () => words(hosts.inside(1, "web", lookup("tasks.web")));
  const program = hosts.task(1, "meter"), meter = hosts.insideProgram(1, "meter", get("127.0.0.1"));
  await hosts.kill(1);
  const isServed = () => answered(hosts, 1, `http://${hosts.network.address(1)}:8080`, 20) === 20;
  assert.ok(isServed(), "without an agent");
  hosts.startAgent(1);
  await hosts.until("names are answered again", () => {
    assert.ok(isServed(), "while the agent starts");
    return namesOf().length === 2;
  });
  assert.ok(isServed(), "by the agent that has started");
  assert.equal(hosts.container(1, "web"), container);
  assert.equal(hosts.task(1, "meter"), program);
  assert.equal(
    hosts.insideProgram(1, "meter", get("127.0.0.1") + `ip -br addr | grep -c eth0`),
    `${meter}1\n`,
  );
}

/** What a node cannot do is said in the list of tasks, and nothing else there suffers from it. */
async function checkRefused(hosts: NetworkHosts): Promise<void> {
  const bridge = hosts.docker(0, "network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Subnet}}")
    .trim();
  hosts.swarm("network", "create", "-d", "overlay", "--subnet", bridge, "taken");
  hosts.swarm("network", "create", "-d", "overlay", "-o", "com.docker.network.driver.mtu=9000", "big");
  const reasons: [string, RegExp][] = [
    ["taken", /Cannot hand network taken to the engine: .*overlaps/i],
    [
      "big",
      /Cannot attach to network big: its packets of 9000 bytes do not fit into the carrier, which leaves 1450/,
    ],
  ];
  for (const [name] of reasons) {
    const flags = [
      "--name",
      name,
      "--network",
      name,
      "--no-resolve-image",
      "--detach",
      "--restart-condition",
      "none",
    ];
    hosts.swarm("service", "create", ...flags, "busybox:local", "sleep", "1000");
  }
  for (const [name, reason] of reasons) {
    await hosts.until(
      `it is said what is wrong with ${name}`,
      () => reason.test(hosts.swarm("service", "ps", name, "--no-trunc", "--format", "{{.Error}}")),
    );
  }
  for (const host of [0, 1]) {
    assert.equal(answered(hosts, host, `http://${hosts.network.address(host)}:8080`, 20), 20);
  }
  hosts.swarm("service", "rm", ...reasons.map(([name]) => name));
  await hosts.until("the networks are gone", () => {
    hosts.swarm("network", "rm", ...reasons.map(([name]) => name));
    return true;
  });
}

/** Who does not run any more is neither found nor asked. */
async function checkStop(hosts: NetworkHosts): Promise<void> {
  const node = hosts.swarm("node", "ls", "-q", "--filter", "name=host1").trim();
  hosts.swarm("node", "update", "--availability", "drain", node);
  await hosts.until("one is found", () => words(hosts.inside(0, "web", lookup("tasks.web"))).length === 1);
  assert.equal(new Set(words(hosts.inside(0, "web", ask("web", 20)))).size, 1);
  assert.equal(answered(hosts, 1, `http://${hosts.network.address(1)}:8080`, 20), 20, "also where none runs");
  hosts.swarm("node", "update", "--availability", "active", node);
  await hosts.until("both are found", () => words(hosts.inside(0, "web", lookup("tasks.web"))).length === 2);
}
