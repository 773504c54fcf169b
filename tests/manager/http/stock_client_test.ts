/** The stock `docker` client against the control API. */
import assert from "node:assert/strict";
import { systemClock } from "../../../api/clock.ts";
import type { Service } from "../../../api/service.ts";
import { parseFilters } from "../../../manager/control/filters.ts";
import { listTasks, TASK_FILTERS } from "../../../manager/control/lists.ts";
import { ADMINISTRATOR } from "../../../manager/control/caller.ts";
import { controlAPI, serveControlSocket } from "../../../manager/http/mod.ts";
import { normalizeDocker } from "../../support/normalize_docker.ts";
import { FakeNode, NODE_ID, processBody, testNode, testRandom, testTask } from "./fake_node.ts";
import { SOCKET_ORIGIN } from "../../../api/socket_origin.ts";

async function installed(): Promise<boolean> {
  try {
    return (await new Deno.Command("docker", { args: ["--version"], stdout: "null", stderr: "null" })
      .output()).success;
  } catch {
    return false;
  }
}

// Without the stock client there is nothing to test; CI installs it.
const ignore = !await installed();

interface Answer {
  code: number;
  /** Both normalized. */
  out: string;
  err: string;
}

/** Runs `run` with a node in a swarm and the stock client pointed at it. */
async function withClient(
  run: (docker: (...args: string[]) => Promise<Answer>, node: FakeNode, socket: string) => Promise<void>,
  init = true,
) {
  const dir = await Deno.makeTempDir();
  const node = new FakeNode(systemClock);
  if (init) await node.init({});
  const api = controlAPI({ lifecycle: node, clock: systemClock, random: testRandom, version: "0.1.0" });
  const socket = `${dir}/covey.sock`;
  const server = await serveControlSocket({
    path: socket,
    fetch: (request) => api.fetch(request, ADMINISTRATOR),
    headers: api.headers,
  });
  const docker = async (...args: string[]): Promise<Answer> => {
    const { code, stdout, stderr } = await new Deno.Command("docker", {
      args: ["-H", `unix://${socket}`, ...args],
      env: { DOCKER_CONFIG: dir },
    }).output();
    const text = (bytes: Uint8Array) => normalizeDocker(new TextDecoder().decode(bytes));
    return { code, out: text(stdout), err: text(stderr) };
  };
  try {
    await run(docker, node, socket);
  } finally {
    await server.close();
    api.close();
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test({ name: "Stock client: info, join-token and the nodes", ignore }, async () => {
  await withClient(async (docker) => {
    const { out } = await docker("info");
    assert.match(out, /Swarm: active/);
    for (
      const line of [
        "Is Manager: true",
        "Data Path Port: 4789",
        "Election Tick: 10",
        "Root Rotation In Progress: false",
      ]
    ) {
      assert.ok(out.includes(line), `${line} in ${out}`);
    }
    assert.equal((await docker("swarm", "join-token", "worker", "-q")).out, "<token>");
    const command = "docker swarm join --token <token> <address>:2377";
    assert.ok((await docker("swarm", "join-token", "worker")).out.includes(command));
    assert.ok(
      (await docker("swarm", "join-token", "--rotate", "manager")).out.includes(
        "Successfully rotated manager",
      ),
    );
    const list = (await docker("node", "ls")).out.split("\n");
    assert.equal(list[1], "node *  node.local  Ready  Active  Leader  1.0");
    assert.equal((await docker("node", "update", "--availability", "drain", "node")).out, "node");
    assert.equal((await docker("node", "update", "--label-add", "a=b", "node")).out, "node");
    const node = (await docker("node", "inspect", "--pretty", "self")).out;
    for (const part of ["- a=b", "Availability:  Drain", "Leader:  Yes"]) {
      assert.ok(node.includes(part), node);
    }
    assert.match(
      (await docker("node", "rm", "node")).err,
      /is a cluster manager and is a member of the raft cluster/,
    );
    assert.match(
      (await docker("node", "demote", "node")).err,
      /attempting to demote the last manager of the swarm/,
    );
  });
});

Deno.test({ name: "Stock client: a service from creation to removal, with events", ignore }, async () => {
  await withClient(async (docker) => {
    const now = () => (Date.now() / 1000).toFixed(3);
    const since = now();
    const flags = [
      "--replicas",
      "2",
      "--constraint",
      "node.role==manager",
      "--env",
      "A=b",
      "--limit-memory",
      "64m",
    ];
    const more = [
      "--reserve-cpu",
      "0.1",
      "--restart-condition",
      "on-failure",
      "--publish",
      "mode=host,target=80",
    ];
    const created = await docker(
      "service",
      "create",
      "-d",
      "--name",
      "web",
      ...flags,
      ...more,
      "busybox:local",
      "top",
    );
    assert.equal(created.code, 0, created.err);
    assert.match(created.err, /image busybox:local could not be accessed on a registry/);
    assert.equal(
      (await docker("service", "ls")).out.split("\n")[1],
      "<id>  web  replicated  0/2  busybox:local",
    );
    const pretty = (await docker("service", "inspect", "--pretty", "web")).out;
    for (
      const part of [
        "Replicas:	2",
        "Constraints:	[node.role==manager]",

        "Memory:	64MiB",
      ]
    ) {
      assert.ok(pretty.includes(part), `${part} in ${pretty}`);
    }
    assert.equal((await docker("service", "scale", "-d", "web=3")).code, 0);
    assert.equal((await docker("service", "update", "-d", "--image", "busybox:latest", "web")).code, 0);
    assert.equal((await docker("service", "update", "-d", "--force", "web")).code, 0);
    const [service] = JSON.parse(
      (await docker("service", "inspect", "web")).out.replaceAll("<version>", "0"),
    );
    assert.equal(service.Spec.TaskTemplate.ForceUpdate, 1);
    assert.deepEqual(service.Spec.Mode, { Replicated: { Replicas: 3 } });
    assert.equal((await docker("service", "rm", "web")).out, "web");
    assert.match((await docker("service", "inspect", "web")).err, /no such service: web/);
    assert.deepEqual((await docker("events", "--since", since, "--until", now())).out.split("\n"), [
      "<time> service create <id> (name=web)",
      "<time> service update <id> (name=web, replicas.new=3, replicas.old=2)",
      "<time> service update <id> (image.new=busybox:latest, image.old=busybox:local, name=web)",
      "<time> service update <id> (name=web)",
      "<time> service remove <id> (name=web)",
    ]);
  });
});

Deno.test({
  name: "Stock client: lists, inspects, scales and updates a process service without losing it",
  ignore,
}, async () => {
  await withClient(async (docker, node, socket) => {
    const { store } = node.manager!;
    const body = { ...processBody("proc"), Mode: { Replicated: { Replicas: 1 } } };
    const client = Deno.createHttpClient({ proxy: { transport: "unix", path: socket } });
    await (await fetch(`${SOCKET_ORIGIN}/services/create`, {
      client,
      method: "POST",
      body: JSON.stringify(body),
    })).text();
    client.close();
    await store.update((tx) => tx.create("tasks", testTask(tx.all("services")[0]!, "t1")));
    assert.equal(
      (await docker("service", "ls")).out.split("\n")[1],
      "<id>  proc  replicated  1/1  process:sleep",
    );
    assert.match(
      (await docker("service", "ps", "proc")).out,
      /t1 {2}proc\.1 {2}process:sleep {2}node\.local {2}Running/,
    );
    assert.match(
      (await docker("service", "inspect", "--pretty", "proc")).out,
      /Image: {2}process:sleep\n Args: {2}1000/,
    );
    assert.deepEqual(await docker("service", "scale", "-d", "proc=2"), {
      code: 0,
      out: "proc scaled to 2",
      err: "",
    });
    assert.equal(
      (await docker("service", "update", "-d", "--env-add", "C=d", "--label-add", "x=y", "proc")).code,
      0,
    );
    assert.equal((await docker("service", "update", "-d", "--force", "--args", "5", "proc")).code, 0);
    const Spec = structuredClone(store.all("services")[0]!.Spec);
    // The client sends variables in the order of a Go map.
    Spec.TaskTemplate.ProcessSpec!.Env!.sort();
    assert.deepEqual(Spec.TaskTemplate, {
      ProcessSpec: { Command: "/bin/sleep", Args: ["5"], Env: ["A=b", "C=d"] },
      ForceUpdate: 1,
      Runtime: "process",
    });
    assert.deepEqual([Spec.Mode, Spec.Labels], [{ Replicated: { Replicas: 2 } }, { x: "y" }]);
  });
});

Deno.test({ name: "Stock client: attached, it ends although a device is down", ignore }, async () => {
  await withClient(async (docker, node) => {
    const { store } = node.manager!;
    await store.update((tx) => {
      tx.create("nodes", testNode("device"));
      tx.create("nodes", testNode("away", { State: "down" }));
    });
    const quick = ["--no-resolve-image", "--quiet", "--update-monitor", "1ms", "--rollback-monitor", "1ms"];
    /** What an orchestrator would do: a task for each node, running at once where the node is up. */
    const unsubscribe = store.subscribe(({ changes }) => {
      const created = changes.find(({ table, action }) => table === "services" && action === "create");
      if (!created) return;
      const service = created.object as Service;
      void store.update((tx) => {
        for (const [i, { ID, Status }] of tx.all("nodes").entries()) {
          const State = Status.State === "ready" ? "running" : "assigned";
          const at = { Slot: "Global" in service.Spec.Mode ? 0 : i + 1, NodeID: ID };
          const status = { Timestamp: "2026-01-01T00:00:00.000Z", State, Message: "" } as const;
          tx.create("tasks", testTask(service, `${service.Spec.Name}${i}`, { ...at, Status: status }));
        }
      });
    });
    const ends = async (...args: string[]) => {
      const { code, err } = await docker("service", ...args);
      assert.equal(code, 0, err);
    };
    await ends("create", ...quick, "--name", "all", "--mode", "global", "busybox");
    await ends("update", "--quiet", "--label-add", "k=v", "all");
    await ends("rollback", "--quiet", "all");
    await ends("create", ...quick, "--name", "two", "--replicas", "2", "busybox");
    await ends("scale", "two=2");
    unsubscribe();
    const filters = parseFilters('{"_up-to-date":["true"],"service":["all"]}', TASK_FILTERS);
    assert.deepEqual(listTasks(store, filters).map(({ NodeID }) => NodeID).sort(), ["device", NODE_ID]);
  });
});

Deno.test({ name: "Stock client: inspects by name and lists stacks without an engine", ignore }, async () => {
  await withClient(async (docker, node) => {
    const { store } = node.manager!;
    const labels = ["--label", "com.docker.stack.namespace=shop", "--container-label", "a=b"];
    await docker("service", "create", "-d", "--no-resolve-image", "--name", "web", ...labels, "busybox");
    await store.update((tx) => tx.create("tasks", testTask(tx.all("services")[0]!, "t1")));
    for (const [name, field] of [["web", "Mode"], ["t1", "DesiredState"], ["node.local", "ManagerStatus"]]) {
      const { code, out, err } = await docker("inspect", name!);
      assert.equal(code, 0, err);
      assert.ok(out.includes(`"${field}"`), out);
    }
    assert.match((await docker("inspect", "nobody")).err, /No such object: nobody/i);
    assert.match((await docker("stack", "ls")).out, /shop +1/);
    assert.match((await docker("stack", "ps", "shop")).out, /web\.1/);
    assert.equal((await docker("stack", "services", "-q", "shop")).code, 0);
    assert.match((await docker("network", "ls")).out, / host +host +swarm/);
  });
});

Deno.test(
  { name: "Stock client: puts a service into the network of its hosts and takes it out", ignore },
  async () => {
    await withClient(async (docker, node) => {
      const networks = () => node.manager!.store.all("services")[0]!.Spec.TaskTemplate.Networks;
      const quietly = ["--no-resolve-image", "-d"];
      const created = await docker(
        "service",
        "create",
        ...quietly,
        "--name",
        "web",
        "--network",
        "host",
        "busybox",
      );
      assert.equal(created.code, 0, created.err);
      assert.deepEqual(networks(), [{ Target: "host" }]);
      assert.match((await docker("service", "inspect", "--pretty", "web")).out, /Networks: host/);
      const moved = ["--network-rm", "host", "--network-add", "bridge"];
      const updated = await docker("service", "update", ...quietly, ...moved, "web");
      assert.equal(updated.code, 0, updated.err);
      assert.deepEqual(networks(), [{ Target: "bridge" }]);
      const refused = await docker("service", "update", ...quietly, "--network-add", "shop", "web");
      // In the words of the server, or of an older client.
      assert.match(refused.err, /network shop not found|No such network: shop/);
    });
  },
);

Deno.test({ name: "Stock client: does not wait for a registry that is not there", ignore }, async () => {
  await withClient(async (docker) => {
    const { code, err } = await docker("service", "create", "-d", "--name", "web", "busybox");
    assert.equal(code, 0, err);
    assert.match(err, /image busybox:latest could not be accessed on a registry to record/);
  });
});

Deno.test({ name: "Stock client: shows refusals as Docker's errors", ignore }, async () => {
  await withClient(async (docker, node) => {
    const inactive = await docker("node", "ls");
    assert.equal(inactive.code, 1);
    assert.match(
      inactive.err,
      /^Error response from daemon: This node is not a swarm manager. Use "docker swarm init"/,
    );
    assert.match((await docker("info")).out, /Swarm: inactive/);
    assert.match(
      (await docker("swarm", "init")).out,
      /Swarm initialized: current node \(node\) is now a manager/,
    );
    const create = (...args: string[]) =>
      docker("service", "create", "-d", "--no-resolve-image", ...args, "busybox");
    assert.match(
      (await create("-p", "80:80")).err,
      /EndpointSpec\.Ports\[0\]\.PublishMode: the routing mesh/,
    );
    const job = ["--name", "job", "--mode", "replicated-job", "--replicas", "3", "--max-concurrent", "2"];
    assert.equal((await create(...job)).err, "");
    assert.match((await docker("service", "ls")).out, /job +replicated job +0\/2 \(0\/3 completed\)/);
    assert.equal((await docker("service", "scale", "-d", "job=4")).code, 0);
    assert.match(
      (await docker("service", "ls", "--filter", "mode=replicated-job")).out,
      /job +replicated job +0\/2 \(0\/4 completed\)/,
    );
    assert.match(
      (await docker("service", "update", "-d", "--update-parallelism", "2", "job")).err,
      /Jobs may not have an update config/,
    );
    assert.equal((await create("--name", "all", "--mode", "global-job")).err, "");
    assert.match((await docker("service", "ls")).out, /all +global job +0\/0 \(0\/0 completed\)/);
    // One problem in Docker's words, several with their fields.
    const badName = "name must be valid as a DNS name component",
      refusal = "rpc error: code = InvalidArgument desc";
    assert.equal(
      (await create("--name", "a b")).err,
      `Error response from daemon: ${refusal} = ${badName}`,
    );
    assert.ok((await create("--name", "a b", "--limit-memory", "1k")).err.includes(`Name: ${badName}`));
    assert.match((await docker("ps")).err, /No container engine on this node/);
    assert.equal((await docker("secret", "ls")).code, 0);
    assert.match((await docker("swarm", "leave")).err, /Removing the last manager erases all current state/);
    assert.equal((await docker("swarm", "leave", "--force")).out, "Node left the swarm.");
    assert.equal(node.state, "inactive");
  }, false);
});
