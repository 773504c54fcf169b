/**
 * A manager and a device on one card, whose power is cut at any moment. `COVEY_TEST_POWER_CUTS=200` is how often,
 * `COVEY_TEST_POWER_SEED` says which moments.
 */
import assert from "node:assert/strict";
import type { ServiceSpec } from "../../api/service.ts";
import type { SwarmView } from "../../cli/api_types.ts";
import { ControlClient } from "../../cli/client.ts";
import { cannotMountCards, Device } from "../agent/support/device.ts";
import { seededRandom } from "../manager/dispatcher/harness.ts";
import { eventually, freePort, Program, ROOT } from "../support/programs.ts";

const ROUNDS = Number(Deno.env.get("COVEY_TEST_POWER_CUTS") ?? 2), isLong = ROUNDS > 2;
const SEED = Number(Deno.env.get("COVEY_TEST_POWER_SEED") ?? 1);
const ignore = await cannotMountCards(); // reason: takes root, mkfs.ext4 and loop devices
/** Longest time from a change to the cut: that is enough for it to be carried out, mostly. */
const MAX_MOMENT_MS = 2000;
/** What has been so for so long is on the disk. */
const SYNCED_MS = 300;
const NAME = "service";

/** What shall run: so many programs with this number. */
interface Wanted {
  replicas: number;
  number: number;
}

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

class Power {
  readonly device: Device;
  readonly client: ControlClient;
  readonly #flags: string[];
  readonly #address = `127.0.0.1:${freePort()}`;
  /** Nobody else's programs have such numbers among their arguments. */
  readonly #mark = 10_000_000 * (1 + Deno.pid % 90);
  #manager: Program | undefined;

  constructor(device: Device) {
    this.device = device;
    const api = `${device.folder}/api.sock`;
    this.client = new ControlClient(`unix://${api}`);
    this.#flags = ["--state-dir", `${device.disk}/manager`, "--listen", this.#address, "--api", api];
  }

  async startManager(): Promise<void> {
    const flags = [...this.#flags, "--advertise", this.#address, "--docker", "none", "--no-agent"];
    this.#manager = new Program(`${ROOT}manager/launch.sh`, flags);
    await this.#manager.says(/serves at/);
  }

  async join(): Promise<void> {
    const { JoinTokens } = await this.client.get<SwarmView>("/swarm");
    this.device.start("--join", this.#address, "--token", JoinTokens.Worker);
  }

  async cut(): Promise<void> {
    await this.device.cutPower();
    await this.#manager?.ends();
    this.#manager = undefined;
  }

  spec({ replicas, number }: Wanted): ServiceSpec {
    const ProcessSpec = { Command: "/bin/sleep", Args: [`${this.#mark + number}`], StopGracePeriod: 1e8 };
    return {
      Name: NAME,
      Labels: {},
      TaskTemplate: {
        Runtime: "process",
        ForceUpdate: 0,
        ProcessSpec,
        RestartPolicy: { Condition: "any", Delay: 1e8 },
      },
      Mode: { Replicated: { Replicas: replicas } },
      UpdateConfig: { Parallelism: 0, Monitor: 1e8, FailureAction: "continue" },
    };
  }

  async change(wanted: Wanted): Promise<void> {
    const { Version } = await this.client.get<{ Version: { Index: number } }>(`/services/${NAME}`);
    await this.client.post(`/services/${NAME}/update`, this.spec(wanted), { version: Version.Index });
  }

  /** What the manager has of the service. */
  async known(): Promise<Wanted> {
    const { Spec } = await this.client.get<{ Spec: ServiceSpec }>(`/services/${NAME}`);
    const { Replicas } = (Spec.Mode as { Replicated: { Replicas: number } }).Replicated;
    return { replicas: Replicas, number: Number(Spec.TaskTemplate.ProcessSpec!.Args![0]) - this.#mark };
  }

  /** Numbers of the programs that run, by the kernel's word. */
  running(): number[] {
    return [...Deno.readDirSync("/proc")].flatMap(({ name }) => {
      try {
        const [program, number] = Deno.readTextFileSync(`/proc/${name}/cmdline`).split("\0");
        const own = Number(number) - this.#mark;
        return program === "/bin/sleep" && own >= 0 && own < 1_000_000 ? [own] : [];
      } catch {
        return [];
      }
    }).toSorted((a, b) => a - b);
  }

  async untilRuns(wanted: Wanted): Promise<void> {
    const all = Array<number>(wanted.replicas).fill(wanted.number);
    await eventually(
      `${wanted.replicas} programs ${wanted.number} run, and no others`,
      () => Promise.resolve(this.running().join() === all.join()),
      () => `${this.running()}\n${this.device.agent.output}\n${this.#manager?.output ?? ""}`,
    );
  }
}

/** What a round ended with: what was wanted before, what may be wanted since, and whether that was acknowledged. */
interface Cut {
  before: Wanted;
  after: Wanted;
  acknowledged: boolean;
  /** Nothing had changed for long enough to be on the disk. */
  isQuiet: boolean;
}

/** Changes something, and cuts the power meanwhile or soon after. */
async function change(power: Power, before: Wanted, round: number, random: () => number): Promise<Cut> {
  const after = { ...before };
  const isQuiet = random() < 0.25;
  if (!isQuiet && random() < 0.6) after.number = round;
  if (!isQuiet) after.replicas = 1 + Math.floor(random() * 3);
  let acknowledged = isQuiet;
  const made = isQuiet ? Promise.resolve() : power.change(after).then(() => acknowledged = true, () => {});
  const moment = random() * MAX_MOMENT_MS;
  if (random() < 0.5) pass(random() * moment).then(() => power.device.sync()).catch(() => {});
  await pass(isQuiet ? SYNCED_MS + moment : moment);
  const isAcknowledged = acknowledged;
  await power.cut();
  await made;
  return { before, after, acknowledged: isAcknowledged, isQuiet };
}

/** The next boot: without a manager at first, every second time. */
async function boot(power: Power, cut: Cut, isOffline: boolean): Promise<Wanted> {
  const { before, after, acknowledged, isQuiet } = cut;
  power.device.start();
  if (isOffline && isQuiet) await power.untilRuns(after);
  else if (isOffline) {
    await power.device.agent.says(/has no manager to talk to/);
    const numbers = power.running();
    assert.ok(numbers.every((one) => one === before.number || one === after.number), `${numbers}`);
  }
  await power.startManager();
  const known = await power.known();
  assert.deepEqual(
    known,
    acknowledged
      ? after
      : known.number === after.number && known.replicas === after.replicas
      ? after
      : before,
  );
  await power.untilRuns(known);
  return known;
}

Deno.test({
  name:
    "Device power: cut at any moment, what was not synced being lost, it starts each time and the right tasks run",
  ignore,
  async fn() {
    const { float } = seededRandom(SEED), random = () => float();
    const power = new Power(await Device.withCard(96));
    const counts = { offline: 0, quiet: 0, acknowledged: 0 };
    try {
      await power.startManager();
      await power.join();
      let wanted: Wanted = { replicas: 2, number: 0 };
      await power.client.post("/services/create", power.spec(wanted));
      await power.untilRuns(wanted);
      for (let round = 1; round <= ROUNDS; round++) {
        const cut = await change(power, wanted, round, random), isOffline = round % 2 === 1;
        counts.quiet += Number(cut.isQuiet);
        counts.acknowledged += Number(cut.acknowledged);
        counts.offline += Number(isOffline);
        wanted = await boot(power, cut, isOffline);
        if (isLong && round % 10 === 0) console.log(`${round} cuts: ${JSON.stringify(counts)}`);
      }
    } finally {
      power.client.close();
      await power.device.close();
    }
  },
});
