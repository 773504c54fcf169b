/**
 * Whatever is valid by its types, and odd in what it says, leaves a whole manager at work: after each batch a plain service
 * goes through the life that it should, and again after the folder was opened by a new leader.
 */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import fc from "fast-check";
import { isShowableInLines } from "../../../api/characters.ts";
import type { Service } from "../../../api/service.ts";
import { clusterSpec, description, nodeSpec, serviceSpec, status } from "./arbitraries.ts";
import { HonestNode, Leader, OddNode } from "./leader.ts";

/** Inputs in all. COVEY_ODD_INPUTS=10000 takes some minutes. */
const INPUTS = Number(Deno.env.get("COVEY_ODD_INPUTS") ?? 1000);
const SEED = Number(Deno.env.get("COVEY_ODD_SEED") ?? 1);
/** A long run says how far it is. */
const TELLS = Deno.env.has("COVEY_ODD_INPUTS");
const BATCH = 200;
const ODD_NODES = ["o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8"];
/** Odd services at a time: their tasks are what statuses are reported of. */
const KEPT_SERVICES = 60;

/** Answers that a wrong request may have: the others are ours, or Docker's word for a stale version. */
const REFUSALS = [400, 404, 409, 501];

type Input =
  | { kind: "service"; spec: (name: string) => object }
  | { kind: "update"; nth: number; spec: (name: string) => object }
  | { kind: "node"; nth: number; spec: object }
  | { kind: "cluster"; spec: object }
  | { kind: "description"; nth: number; description: unknown }
  | { kind: "status"; nth: number; status: unknown; taskID: string | undefined };

const nth = fc.nat(1000);
const input: fc.Arbitrary<Input> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant("service" as const), spec: serviceSpec }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("update" as const), nth, spec: serviceSpec }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("node" as const), nth, spec: nodeSpec }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cluster" as const), spec: clusterSpec }) },
  { weight: 7, arbitrary: fc.record({ kind: fc.constant("description" as const), nth, description }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("status" as const),
      nth,
      status,
      taskID: fc.constantFrom(undefined, undefined, undefined, "", "none", "constructor", "\u202e"),
    }),
  },
);

/** Everything that the inputs go through. */
class Trial {
  readonly #leader: Leader;
  readonly #odd: OddNode[];
  readonly honest: HonestNode;
  readonly counts: Record<string, number> = {};
  #names = 0;

  constructor(leader: Leader) {
    this.#leader = leader;
    this.#odd = ODD_NODES.map((id) => new OddNode(leader, id));
    this.honest = new HonestNode(leader, "good");
  }

  async feed(input: Input): Promise<void> {
    const outcome = await this.#take(input);
    const key = `${input.kind} ${outcome}`;
    this.counts[key] = (this.counts[key] ?? 0) + 1;
    await this.#leader.pass(50);
  }

  async #take(input: Input): Promise<string> {
    const { store } = this.#leader;
    switch (input.kind) {
      case "service":
        return await this.#request("POST", "/services/create", input.spec(`odd${this.#names++}`));
      case "update": {
        const service = pick(oddServices(store.all("services")), input.nth);
        if (service === undefined) return "none";
        const path = `/services/${service.ID}/update?version=${service.Version.Index}`;
        const { Name, Mode } = service.Spec;
        return await this.#request("POST", path, { ...input.spec(Name), Mode });
      }
      case "node": {
        const node = store.get("nodes", pick(ODD_NODES, input.nth)!)!;
        return await this.#request(
          "POST",
          `/nodes/${node.ID}/update?version=${node.Version.Index}`,
          input.spec,
        );
      }
      case "cluster": {
        const { Version } = store.all("clusters")[0]!;
        return await this.#request("POST", `/swarm/update?version=${Version.Index}`, input.spec);
      }
      case "description":
        return (await pick(this.#odd, input.nth)!.describe(input.description))?.code ?? "taken";
      case "status": {
        const tasks = store.all("tasks").filter(({ NodeID }) => ODD_NODES.includes(NodeID));
        const task = pick(tasks, input.nth), TaskID = input.taskID ?? task?.ID ?? "none";
        const node = this.#odd.find(({ id }) => id === task?.NodeID) ?? pick(this.#odd, input.nth)!;
        await node.live();
        return (await node.report([{ TaskID, Status: input.status }]))?.code ?? "taken";
      }
    }
  }

  async #request(method: string, path: string, body?: unknown): Promise<string> {
    const { status, text } = await this.#leader.call(method, path, body);
    const stale = text.includes("update out of sequence");
    ok(status < 300 || REFUSALS.includes(status) || stale, `${method} ${path}: ${status} ${text}`);
    ok(isShowableInLines(text), `${method} ${path} answers ${JSON.stringify(text)}`);
    return String(status);
  }

  /** Ends the oldest odd services. */
  async clear(kept: number): Promise<void> {
    const services = oddServices(this.#leader.store.all("services"));
    for (const { ID } of services.slice(0, Math.max(0, services.length - kept))) {
      await this.#request("DELETE", `/services/${ID}`);
    }
  }

  /** Every list can be asked for, and read by whoever shows it. */
  async look(): Promise<void> {
    for (const path of ["/services?status=1", "/tasks", "/nodes", "/swarm", "/info"]) {
      const { status, text } = await this.#leader.call("GET", path);
      strictEqual(status, 200, `GET ${path}: ${text}`);
      // Numbers as Go reads them into integers of 64 bits: without an exponent.
      ok(!/:-?\d+(\.\d+)?e\+/.test(text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')), `GET ${path}: ${text}`);
      JSON.parse(text);
    }
  }

  /** Each component does its part for services that are as plain as can be. */
  async plainLife(round: string): Promise<void> {
    const { store } = this.#leader;
    const name = `plain-${round}`, global = `global-${round}`;
    const program = { Runtime: "process", ProcessSpec: { Command: "/bin/true" } };
    const onGood = { ...program, Placement: { Constraints: ["node.labels.plain == yes"] } };
    const tasksOf = (service: string) =>
      store.all("tasks").filter(({ ServiceAnnotations }) => ServiceAnnotations.Name === service);
    const running = (service: string) =>
      tasksOf(service).filter(({ Status, DesiredState, NodeID }) =>
        Status.State === "running" && DesiredState === "running" && NodeID === "good"
      );
    const create = async (Name: string, rest: object) =>
      strictEqual(await this.#request("POST", "/services/create", { Name, ...rest }), "201");

    await this.#label("yes");
    const failed = new Set<string>();
    this.honest.failing.set(name, failed);
    const RestartPolicy = { Condition: "any", Delay: 1e9 };
    await create(name, { TaskTemplate: { ...onGood, RestartPolicy }, Mode: { Replicated: { Replicas: 2 } } });
    await create(global, { TaskTemplate: onGood, Mode: { Global: {} } });
    await this.#leader.until(`${global} runs`, () => running(global).length === 1);
    await this.#leader.until(`${name} is tried again`, () => failed.size >= 5);
    this.honest.failing.delete(name);
    await this.#leader.until(`${name} runs`, () => running(name).length === 2);

    const service = store.all("services").find(({ Spec }) => Spec.Name === name)!;
    const TaskTemplate = { ...onGood, ForceUpdate: 1 };
    const path = `/services/${service.ID}/update?version=${service.Version.Index}`;
    await this.#request("POST", path, { ...service.Spec, TaskTemplate });
    const updated = () => running(name).filter(({ Spec }) => Spec.ForceUpdate === 1).length;
    await this.#leader.until(`${name} is updated`, () => updated() === 2);

    await this.#label("no");
    await this.#leader.until("tasks that no longer fit are stopped", () => running(name).length === 0);
    for (const each of [name, global]) strictEqual(await this.#request("DELETE", `/services/${each}`), "200");
    await this.#leader.until(
      "tasks of removed services are gone",
      () => tasksOf(name).length + tasksOf(global).length === 0,
    );
  }

  async #label(plain: string): Promise<void> {
    const { store } = this.#leader;
    // The dispatcher may write the node at the same time.
    for (let tries = 0; tries < 10 && store.get("nodes", "good")!.Spec.Labels.plain !== plain; tries++) {
      const { Version, Spec } = store.get("nodes", "good")!;
      await this.#request("POST", `/nodes/good/update?version=${Version.Index}`, {
        ...Spec,
        Labels: { plain },
      });
    }
    strictEqual(store.get("nodes", "good")!.Spec.Labels.plain, plain);
  }

  async end(): Promise<void> {
    for (const node of this.#odd) node.close();
    await this.honest.stop();
  }
}

function oddServices(services: Service[]): Service[] {
  return services.filter(({ Spec }) => !/^(plain|global)-/.test(Spec.Name));
}

function pick<T>(list: readonly T[], nth: number): T | undefined {
  return list[nth % Math.max(1, list.length)];
}

Deno.test("Odd input: specs, descriptions and statuses of all sorts leave every component of a leader at work", async () => {
  const folder = await Deno.makeTempDir({ prefix: "covey-odd-" });
  const leader = await Leader.found(folder, [...ODD_NODES, "good"]);
  const trial = new Trial(leader);
  try {
    trial.honest.start();
    await trial.plainLife("first");
    const inputs = fc.sample(input, { numRuns: INPUTS, seed: SEED });
    for (let from = 0; from < INPUTS; from += BATCH) {
      for (const each of inputs.slice(from, from + BATCH)) await trial.feed(each);
      await trial.look();
      await trial.plainLife(`${from}-before`);
      await trial.clear(KEPT_SERVICES);
      await leader.restart();
      await trial.plainLife(`${from}-after`);
      await trial.look();
      if (TELLS) console.log(`${from + BATCH} of ${INPUTS}`);
    }
    const taken = Object.entries(trial.counts).filter(([key]) => /taken|20[01]$/.test(key));
    if (TELLS) console.log(trial.counts);
    // Without it, all might have been refused at the door.
    deepStrictEqual(
      taken.map(([key]) => key).sort(),
      ["cluster 200", "description taken", "node 200", "service 201", "status taken", "update 200"],
    );
  } catch (thrown) {
    throw new Error(`seed ${SEED}, ${JSON.stringify(trial.counts)}`, { cause: thrown });
  } finally {
    await trial.end();
    await leader.stop();
    await Deno.remove(folder, { recursive: true });
  }
});
