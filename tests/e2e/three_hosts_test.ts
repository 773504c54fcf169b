/**
 * A stack on three real hosts, each with a manager: what its users see while all goes well, while it is updated, and while a
 * manager or a host is gone. COVEY_TEST_THREE_HOSTS=1 asks 10,000 times during updates, brings the manager back, and cuts a
 * host off.
 */
import assert from "node:assert/strict";
import { NetworkHosts, noNetworkHosts } from "../support/network_hosts.ts";
import { ROOT, run } from "../support/programs.ts";

const WHY_NOT = noNetworkHosts();
if (WHY_NOT !== "") console.log(`without hosts of their own: ${WHY_NOT}`);

const FILE = `${ROOT}tests/e2e/stacks/shop.yml`;
const IS_LONG = Deno.env.get("COVEY_TEST_THREE_HOSTS") !== undefined;
/** Requests that are made during updates, and how many of all that are made at a time may fail. */
const REQUESTS = 10_000, MAX_FAILED = 1;
const HOSTS = [0, 1, 2];

const words = (text: string) => text.split(/\s+/).filter((word) => word !== "").sort();
const lookup = (name: string) => `nslookup ${name} 2>&1 | sed -n '/^Name/,$s/^Address: //p'`;
/** A busybox that is linked statically looks up no name in wget; nc does. */
const ask = (name: string, times: number) =>
  `for i in $(seq ${times}); do printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 ${name} 80 | tail -n 1; done 2>&1; `;

interface Outcome {
  asked: number;
  failed: number;
  how: string;
}

/** Requests by curl, a connection each, from hosts until it is ended; the codes of the answers are in a file. */
class Load {
  readonly #folder: string;
  readonly #programs: Deno.ChildProcess[];

  constructor(hosts: NetworkHosts, from: readonly number[]) {
    this.#folder = Deno.makeTempDirSync();
    this.#programs = from.map((host) => {
      // Its own address, and that of the next.
      const urls = [host, from[(from.indexOf(host) + 1) % from.length]!]
        .map((each) => `-o /dev/null 'http://${hosts.network.address(each)}:8080/?[1-10]'`);
      const [program = "", ...args] = [
        ...hosts.network.enter(host),
        "sh",
        "-c",
        `while [ -d ${this.#folder} ] && [ ! -e ${this.#folder}/end ]; do curl -s -m 5 -w '%{http_code}-%{exitcode}\\n' ${
          urls.join(" ")
        }; done >${this.#folder}/${host}`,
      ];
      return new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn();
    });
  }

  /** Ends it; how many were asked, how many of these failed, and what came of those (curl's codes). */
  async end(): Promise<Outcome> {
    await Deno.writeTextFile(`${this.#folder}/end`, "");
    for (const program of this.#programs) await program.status;
    const files = [...Deno.readDirSync(this.#folder)].filter(({ name }) => name !== "end");
    const codes = files.flatMap(({ name }) => words(Deno.readTextFileSync(`${this.#folder}/${name}`)));
    await Deno.remove(this.#folder, { recursive: true });
    const bad = codes.filter((code) => code !== "200-0");
    return { asked: codes.length, failed: bad.length, how: [...new Set(bad)].join(" ") };
  }
}

/** What became of the requests that were made while something was done. Ends them also when that fails. */
async function underLoad(
  hosts: NetworkHosts,
  from: readonly number[],
  act: () => Promise<void>,
): Promise<Outcome> {
  const load = new Load(hosts, from);
  try {
    await act();
  } catch (thrown) {
    await load.end();
    throw thrown;
  }
  return await load.end();
}

function report(what: string, { asked, failed, how }: Outcome): void {
  if (IS_LONG) console.log(`${what}: ${failed} of ${asked} requests failed ${how}`);
}

Deno.test({
  name:
    "Three hosts: a stack is reached by its names, its address and its port, while it is updated and managers die",
  ignore: WHY_NOT !== "", // the reason is printed
  fn: async () => {
    const hosts = new NetworkHosts(3, 3);
    try {
      await hosts.startEngines();
      await hosts.startNodes();
      await deploy(hosts);
      checkNames(hosts);
      await checkSpread(hosts, HOSTS, 3);
      if (IS_LONG) await checkUpdates(hosts);
      const killed = await checkLeader(hosts);
      if (!IS_LONG) return;
      await checkReturn(hosts, killed);
      await checkCut(hosts);
    } finally {
      await hosts.remove();
    }
  },
});

/** With our own command, then with the stock client: nothing changes by that. */
async function deploy(hosts: NetworkHosts): Promise<void> {
  const covey = await run("covey", hosts.api(1), "stack", "deploy", "-c", FILE, "shop");
  assert.equal(covey.code, 0, covey.stdout + covey.stderr);
  const list = () => hosts.swarm("stack", "ps", "shop", "-q", "--no-trunc").split("\n").sort();
  const before = list();
  hosts.swarm("stack", "deploy", "--resolve-image", "never", "-c", FILE, "shop");
  const plan = await run("covey", hosts.api(2), "stack", "plan", "-c", FILE, "shop");
  assert.equal(plan.code, 0, plan.stdout + plan.stderr);
  assert.deepEqual(list(), before);
}

function checkNames(hosts: NetworkHosts): void {
  for (const host of HOSTS) {
    const count = (name: string) => words(hosts.inside(host, "shop_helper", lookup(name))).length;
    assert.deepEqual(["web", "tasks.web", "helper", "tasks.helper", "store", "shelf"].map(count), [
      1,
      3,
      1,
      3,
      1,
      1,
    ]);
    assert.equal(hosts.inside(host, "shop_helper", "nc -w 5 store 7000 </dev/null"), "tea\n");
  }
}

/** By the address of a service from containers, and by the port from hosts, all of its tasks answer. */
async function checkSpread(hosts: NetworkHosts, from: readonly number[], tasks: number): Promise<void> {
  for (const host of from) {
    await hosts.until(`all tasks answer host ${host}`, () => {
      const answers = words(hosts.inside(host, "shop_helper", ask("web", 60)));
      return answers.length === 60 && new Set(answers).size === tasks;
    });
    for (const other of from) {
      const url = `http://${hosts.network.address(other)}:8080/?[1-30]`;
      assert.equal(
        new Set(words(hosts.on(host, "curl", "-s", "-m", "10", url))).size,
        tasks,
        `${host} asks ${other}`,
      );
    }
  }
}

function updateState(hosts: NetworkHosts): string {
  return hosts.swarm("service", "inspect", "shop_web", "--format", "{{with .UpdateStatus}}{{.State}}{{end}}")
    .trim();
}

async function update(hosts: NetworkHosts, version: number): Promise<void> {
  hosts.swarm("service", "update", "--detach", "--env-add", `VERSION=${version}`, "shop_web");
  await hosts.until(`update ${version} is done`, () => updateState(hosts) === "completed");
}

async function checkUpdates(hosts: NetworkHosts): Promise<void> {
  const all = { asked: 0, failed: 0 };
  for (let version = 1; all.asked < REQUESTS; version++) {
    const outcome = await underLoad(hosts, HOSTS, () => update(hosts, version));
    report(`update ${version}`, outcome);
    all.asked += outcome.asked;
    all.failed += outcome.failed;
  }
  assert.ok(all.failed <= MAX_FAILED, `${all.failed} of ${all.asked} requests failed`);
}

/** What runs goes on without it, and another leads; which one was killed. */
async function checkLeader(hosts: NetworkHosts): Promise<number> {
  const leader = hosts.leader(), rest = HOSTS.filter((host) => host !== leader);
  const meanwhile = await underLoad(hosts, HOSTS, async () => {
    await hosts.kill(leader);
    hosts.asked = rest[0]!;
    await hosts.until("another manager leads", () => hosts.leader() !== leader);
  });
  report("while there is no leader", meanwhile);
  assert.ok(meanwhile.failed <= MAX_FAILED, JSON.stringify(meanwhile));
  const updated = await underLoad(hosts, rest, () => update(hosts, 100));
  report("an update by the next one", updated);
  assert.ok(updated.failed <= MAX_FAILED, JSON.stringify(updated));
  return leader;
}

async function checkReturn(hosts: NetworkHosts, killed: number): Promise<void> {
  hosts.startManager(killed);
  await hosts.until("all nodes are there again", () => {
    const ready = hosts.swarm("node", "ls", "--format", "{{.Status}} {{.ManagerStatus}}").trim().split("\n");
    return ready.every((line) => /^Ready (Leader|Reachable)$/.test(line));
  });
  await checkSpread(hosts, HOSTS, 3);
}

/** Nodes and states. */
function runningTasks(hosts: NetworkHosts): string[] {
  const format = ["--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}"];
  return hosts.swarm("service", "ps", "shop_web", ...format).trim().split("\n");
}

/** The others go on without a host that is cut off, and it comes back to them. */
async function checkCut(hosts: NetworkHosts): Promise<void> {
  const leader = hosts.leader();
  const lost = HOSTS.find((host) => host !== leader && hosts.container(host, "shop_web") !== "")!;
  const rest = HOSTS.filter((host) => host !== lost);
  hosts.asked = rest[0]!;
  const node = () =>
    hosts.swarm("node", "ls", "--filter", `name=host${lost}`, "--format", "{{.Status}}").trim();
  const cut = await underLoad(hosts, rest, async () => {
    hosts.network.cut(lost);
    await hosts.until("it counts as down", () => node() === "Down");
    await hosts.until("the others have its tasks", () => {
      const states = runningTasks(hosts);
      return states.length === 3 &&
        states.every((each) => / Running/.test(each) && !each.startsWith(`host${lost} `));
    });
  });
  report("until a host is known to be cut off", cut);
  // There, what is nearest goes on.
  const own = hosts.inside(lost, "shop_helper", "hostname").trim();
  assert.deepEqual(words(hosts.inside(lost, "shop_helper", ask("nearest.helper", 5))), Array(5).fill(own));
  const asked = await underLoad(hosts, rest, async () => {
    await checkSpread(hosts, rest, 3);
    for (const host of rest) {
      const helpers = words(hosts.inside(host, "shop_helper", lookup("tasks.helper")));
      assert.equal(helpers.length, 2, "the helper of the host that is cut off is not found");
    }
  });
  report("without the host", asked);
  assert.ok(asked.failed <= MAX_FAILED, JSON.stringify(asked));
  hosts.network.heal(lost);
  await hosts.until("it is back", () => node() === "Ready");
  await checkSpread(hosts, HOSTS, 3);
  checkNames(hosts);
}
