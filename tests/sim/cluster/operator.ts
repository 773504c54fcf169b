/** Somebody who uses the cluster: services come, change and go, nodes are drained, managers are demoted. */
import { isJob, type ServiceSpec } from "../../../api/service.ts";
import { RUNTIME_MOCK } from "../../../executors/mock/mock_executor.ts";
import type { SeededRandom } from "../raft/random.ts";
import type { SimManager } from "./manager.ts";
import type { World } from "./world.ts";

const MS_NS = 1e6;
/** Between two deeds, milliseconds, at most. */
const PAUSE_MS = 2_500;
const SERVICES = 3;
/** Changes of services in the end. */
const MORE_CHANGES = 8;
const RETRY_MS = 300;
/** The service that is rolled out by stages, in versions good and bad. */
const STAGED = "fleet";
/** Longer than it takes to miss a device: in less, one that fell silent would prove its version. */
const STAGE_MONITOR_MS = 20_000;

interface View {
  ID: string;
  Version: { Index: number };
  Spec: Record<string, unknown>;
}

/** Does one thing after another through the control API, at a manager chosen at random. */
export class Operator {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #managers: readonly SimManager[];
  readonly #workers: readonly string[];
  readonly #names = Array.from({ length: SERVICES }, (_, i) => `app-${i}`);
  readonly #changesManagers: boolean;
  #count = 0;
  #running: Promise<void> | undefined;

  constructor(
    world: World,
    managers: readonly SimManager[],
    workers: readonly string[],
    changesManagers: boolean,
  ) {
    this.#changesManagers = changesManagers;
    this.#world = world;
    this.#random = world.fork();
    this.#managers = managers;
    this.#workers = workers;
  }

  start(): void {
    this.#running = this.#run();
    this.#world.spawn(this.#running);
  }

  /** Makes every node take tasks again and every manager one that shall be. */
  async restoreNodes(): Promise<void> {
    await this.#running;
    const restore = async (name: string, change: { Role?: string; Availability?: string }) => {
      while (!await this.#setNode(name, change)) await this.#world.sleep(RETRY_MS);
    };
    for (const name of this.#workers) await restore(name, { Availability: "active" });
    for (const { name } of this.#managers) await restore(name, { Role: "manager" });
  }

  /** Changes services some more times, without a look at what comes of it. */
  async changeServices(): Promise<void> {
    for (let nth = 0; nth < MORE_CHANGES; nth++) {
      await this.#random.pick(this.#serviceDeeds())();
      await this.#world.sleep(this.#random.next() * PAUSE_MS / 2);
    }
  }

  #serviceDeeds(): (() => Promise<void>)[] {
    const create = () => this.#create(), update = () => this.#update();
    return [create, create, update, update, () => this.#remove(), () => this.#release()];
  }

  async #run(): Promise<void> {
    const random = this.#random;
    const deeds = this.#changesManagers ? [() => this.#demote(), () => this.#leave()] : [];
    if (this.#workers.length > 0) {
      deeds.push(...this.#serviceDeeds(), () => this.#changeWorker(), () => this.#changeWorker());
      await this.#create();
    }
    while (!this.#world.calm && deeds.length > 0) {
      await this.#world.sleep(random.next() * PAUSE_MS);
      await random.pick(deeds)();
    }
  }

  async #create(): Promise<void> {
    const random = this.#random;
    const job = random.chance(0.25), onNodes = random.chance(0.3), count = random.between(1, 4);
    const Mode = job
      ? onNodes
        ? { GlobalJob: {} }
        : { ReplicatedJob: { MaxConcurrent: random.between(1, 2), TotalCompletions: count } }
      : onNodes
      ? { Global: {} }
      : { Replicated: { Replicas: count } };
    await this.#ask("POST", "/services/create", {
      Name: random.pick(this.#names),
      Mode,
      ...this.#template(job),
    });
  }

  /** Programs that go on for ever, or that end after a while, as those of jobs do. */
  #template(job: boolean) {
    const random = this.#random;
    const ends = job || random.chance(0.3);
    const Payload = {
      PrepareMs: random.pick([0, 10, 500]),
      StartMs: random.pick([0, 10, 500]),
      ...(ends && { RunMs: random.between(200, 4000), ExitCode: random.pick([0, 1]) }),
    };
    const MaxAttempts = ends ? random.pick([0, 0, 2, 4]) : 0;
    return {
      Labels: { nth: String(++this.#count) },
      TaskTemplate: {
        Runtime: RUNTIME_MOCK,
        GenericSpec: { Payload },
        RestartPolicy: { Condition: "any", Delay: random.pick([100, 1000]) * MS_NS, MaxAttempts },
      },
      ...(!job && {
        UpdateConfig: {
          Parallelism: random.between(0, 2),
          Monitor: random.pick([100, 1000]) * MS_NS,
          FailureAction: random.pick(["pause", "continue", "rollback"]),
        },
      }),
    };
  }

  async #update(): Promise<void> {
    const random = this.#random;
    const service = await this.#read(`/services/${random.pick(this.#names)}`);
    if (!service) return;
    const { Mode } = service.Spec as Pick<ServiceSpec, "Mode">;
    const scaled = "Replicated" in Mode && random.chance(0.6)
      ? { Mode: { Replicated: { Replicas: random.between(0, 5) } } }
      : this.#template(isJob({ Mode }));
    const path = `/services/${service.ID}/update?version=${service.Version.Index}`;
    await this.#ask("POST", path, { ...service.Spec, ...scaled });
  }

  /** A version of the staged service: a good one in the beginning, then of either sort. */
  async #release(): Promise<void> {
    const random = this.#random, nth = String(++this.#count);
    const service = await this.#read(`/services/${STAGED}`);
    const isBad = service !== undefined && random.chance(0.7);
    const Payload = isBad
      ? { Error: `bad ${nth}`, RunMs: random.pick([0, 200, 1000]), ExitCode: 1 }
      // The first version may end by itself, so that it is restarted in the midst of a rollout.
      : { Error: `good ${nth}`, ...(service === undefined && random.chance(0.5) && { RunMs: 4000 }) };
    const spec = {
      Name: STAGED,
      Mode: { Global: {} },
      Labels: { "covey.rollout.stages": "1%, 100%" },
      TaskTemplate: {
        Runtime: RUNTIME_MOCK,
        GenericSpec: { Payload },
        RestartPolicy: { Condition: "any", Delay: 1000 * MS_NS, MaxAttempts: 0 },
      },
      UpdateConfig: {
        Parallelism: random.between(0, 2),
        Monitor: STAGE_MONITOR_MS * MS_NS,
        FailureAction: random.pick(["pause", "rollback"]),
      },
    };
    const path = service
      ? `/services/${service.ID}/update?version=${service.Version.Index}`
      : "/services/create";
    await this.#ask("POST", path, spec);
  }

  async #remove(): Promise<void> {
    await this.#ask("DELETE", `/services/${this.#random.pick(this.#names)}`);
  }

  async #changeWorker(): Promise<void> {
    const Availability = this.#random.pick(["active", "active", "drain", "pause"]);
    await this.#setNode(this.#random.pick(this.#workers), { Availability });
  }

  /** Takes a manager its vote; it comes back as somebody new. */
  async #demote(): Promise<void> {
    const { name } = this.#random.pick(this.#managers);
    await this.#setNode(name, { Role: "worker" });
    await this.#world.sleep(this.#random.next() * 2_000);
    await this.#setNode(name, { Role: "manager" });
  }

  async #leave(): Promise<void> {
    await this.#random.pick(this.#managers).leave();
  }

  async #setNode(name: string, change: { Role?: string; Availability?: string }): Promise<boolean> {
    const node = await this.#read(`/nodes/${name}`);
    if (!node) return false;
    const path = `/nodes/${node.ID}/update?version=${node.Version.Index}`;
    return (await this.#ask("POST", path, { ...node.Spec, ...change }))?.status === 200;
  }

  async #read(path: string): Promise<View | undefined> {
    const answer = await this.#ask("GET", path);
    return answer?.status === 200 ? JSON.parse(answer.body) : undefined;
  }

  async #ask(method: string, path: string, body?: unknown) {
    const manager = this.#random.pick(this.#managers);
    const answer = await manager.request(method, path, body);
    const { status, body: text } = answer.kind === "answer" ? answer : { status: answer.kind, body: "" };
    this.#world.log.note(
      `operator ${method} ${path} at ${manager.name}: ${status} ${text.slice(0, 80).trim()}`,
    );
    return answer.kind === "answer" ? answer : undefined;
  }
}
