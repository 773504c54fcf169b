/**
 * Updates, rollbacks, scaling and jobs of the stock client come out as with a real Docker Swarm. Only run where
 * `COVEY_TEST_ROLLOUT_PARITY` is set.
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import { isTerminal } from "../../api/task_state.ts";
import type { ServiceView, TaskView } from "../../cli/api_types.ts";
import { normalizeDocker } from "../support/normalize_docker.ts";
import { type Side, type Sides, withSides, words } from "../support/parity.ts";
import { NO_ENGINE } from "../support/test_engine.ts";
import { ROLLOUT_SESSIONS } from "./rollout_parity_script.ts";

const POLL_MS = 200;
/** A service whose tasks stay as they are for so long is at rest: longer than any of its delays. */
const STILL_MS = 1_500;
/** One that has not come to rest by then is compared as it is. */
const REST_LIMIT_MS = 60_000;

/** What has become of a service. */
interface Outcome {
  update: string;
  /** Running, wanted and completed tasks. */
  counts: string;
  iteration: number | undefined;
  /** Of each slot its tasks in order; which slot an update begins with is chance. */
  slots: string[];
}

async function get<T>(side: Side, path: string, query: Record<string, object | string>): Promise<T> {
  const words = Object.entries(query).map(([key, value]) =>
    `${key}=${encodeURIComponent(typeof value === "string" ? value : JSON.stringify(value))}`
  );
  const { status, text } = await side.call("GET", `${path}?${words.join("&")}`);
  assert.equal(status, 200, text);
  return JSON.parse(text);
}

async function look(side: Side, name: string): Promise<{ service: ServiceView; tasks: TaskView[] }> {
  const services = await get<ServiceView[]>(side, "/services", {
    filters: { name: [name] },
    status: "true",
  });
  const service = services.find(({ Spec }) => Spec.Name === name)!;
  const tasks = await get<TaskView[]>(side, "/tasks", { filters: { service: [name] } });
  return { service, tasks };
}

function isAtRest({ DesiredState, Status }: TaskView): boolean {
  if (isTerminal(Status.State)) return true;
  return DesiredState === "running" && Status.State === "running";
}

/** The side has yet to do something about the service's spec, however busy it is: nothing moves, but it is not at rest. */
function isDue({ service: { Spec, UpdateStatus }, tasks }: Awaited<ReturnType<typeof look>>): boolean {
  const { Mode, TaskTemplate } = Spec, replicas = "Replicated" in Mode ? Mode.Replicated.Replicas : undefined;
  const wanted = tasks.filter(({ DesiredState }) => DesiredState === "running");
  const template = JSON.stringify(TaskTemplate);
  if (UpdateStatus === undefined && wanted.some((task) => JSON.stringify(task.Spec) !== template)) {
    return true;
  }
  if (replicas === undefined) return false;
  return wanted.length > replicas || new Set(tasks.map(({ Slot }) => Slot)).size < replicas;
}

/** Which of a service's tasks an outcome is about. */
type Kept = "outcome" | "wanted" | "run";

function outcomeOf({ service, tasks }: Awaited<ReturnType<typeof look>>, keep: Kept): Outcome {
  const { UpdateStatus, ServiceStatus, JobStatus } = service;
  const { RunningTasks, DesiredTasks, CompletedTasks = 0 } = ServiceStatus!;
  const isKept = ({ DesiredState, JobIteration }: TaskView) =>
    keep === "outcome" ||
    (keep === "wanted"
      ? DesiredState === "running"
      : (JobIteration?.Index ?? 0) === (JobStatus?.JobIteration.Index ?? 0));
  const present = tasks.filter(({ DesiredState }) => DesiredState !== "remove");
  const kept = present.filter(isKept).sort((a, b) => Date.parse(a.CreatedAt) - Date.parse(b.CreatedAt));
  const slots = Map.groupBy(kept, ({ Slot, NodeID }) => Slot ?? NodeID).values();
  return {
    update: keep === "run"
      ? ""
      : normalizeDocker(`${UpdateStatus?.State ?? "none"}: ${UpdateStatus?.Message ?? ""}`),
    counts: `${RunningTasks} of ${DesiredTasks}, ${CompletedTasks} completed`,
    iteration: JobStatus && (JobStatus.JobIteration.Index ?? 0),
    slots: [...slots].map((each) => each.map(taskText).join(", ")).sort(),
  };
}

function taskText({ Spec, DesiredState, Status, JobIteration }: TaskView): string {
  const version = Spec.ContainerSpec?.Env?.findLast((pair) => pair.startsWith("V="))?.slice(2);
  const code = Status.ContainerStatus?.ExitCode;
  const run = JobIteration === undefined ? "" : ` of run ${JobIteration.Index ?? 0}`;
  const exit = Status.State === "failed" && code !== undefined ? ` with ${code}` : "";
  return `${version}${run} ${Status.State}${exit} (${DesiredState})`;
}

/** What a service comes to once nothing moves any more. */
async function outcome(side: Side, name: string, keep: Kept): Promise<Outcome> {
  const limit = performance.now() + REST_LIMIT_MS;
  for (let since = performance.now(), before = "";;) {
    const found = await look(side, name);
    const shown = JSON.stringify([
      found.service.UpdateStatus?.State,
      found.tasks.map(({ ID, DesiredState, Status }) => [ID, DesiredState, Status.State]),
    ]);
    const moving = /^(updating|rollback_started)$/.test(found.service.UpdateStatus?.State ?? "") ||
      isDue(found) || !found.tasks.every(isAtRest);
    const now = performance.now();
    if (moving || shown !== before) since = now;
    before = shown;
    if (now - since >= STILL_MS || now > limit) return outcomeOf(found, keep);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function playLine(sides: Sides, line: string, flag: string): Promise<[unknown, unknown]> {
  const args = words(line.replaceAll("$FLAG", flag).replaceAll("$VOLUME", basename(flag)));
  const [verb, name] = args;
  const both = async <T>(action: (side: Side) => Promise<T>): Promise<[T, T]> =>
    await Promise.all([action(sides.docker), action(sides.covey)]);
  switch (verb) {
    case "spoil":
      await Deno.writeTextFile(`${flag}/bad`, "");
      return [0, 0];
    case "mend":
      await Deno.remove(`${flag}/bad`).catch(() => {});
      return [0, 0];
    case "outcome":
    case "wanted":
    case "run":
      return await both((side) => outcome(side, name!, verb));
    default:
      return await both((side) => side.run(args));
  }
}

/** Docker's engine is thrown away; the one that Covey works with is not. */
async function removeVolumes(side: Side, start: string): Promise<void> {
  const { out } = await side.run(["volume", "ls", "--quiet", "--filter", `name=${start}`]);
  const volumes = out.split("\n").filter((name) => name !== "");
  const limit = performance.now() + REST_LIMIT_MS;
  while (volumes.length > 0 && (await side.run(["volume", "rm", "--force", ...volumes])).code !== 0) {
    assert.ok(performance.now() < limit, `${volumes} are still in use`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Plays a session on both sides at once; what differs comes back as text. */
async function play(sides: Sides, lines: readonly string[], flag: string): Promise<string> {
  let differences = "", last = "";
  for (const line of lines) {
    const [docker, covey] = (await playLine(sides, line, flag)).map((each) =>
      JSON.stringify(each, undefined, 1)
    );
    if (docker !== covey) {
      differences += `\n=== ${last}\n=== ${line}\n--- Docker: ${docker}\n--- Covey: ${covey}`;
    }
    last = line;
  }
  return differences;
}

// It waits five minutes for what others do at their pace, half of what the whole suite may take.
if (Deno.env.has("COVEY_TEST_ROLLOUT_PARITY")) {
  Deno.test({
    name: "Docker parity: updates, rollbacks, scaling and jobs come out as with Docker Swarm",
    ignore: NO_ENGINE !== "" || Deno.uid() !== 0, // a reason is in the variable; a network namespace needs root
    fn: (t) =>
      withSides(async (sides) => {
        const flag = await Deno.makeTempDir({ prefix: "covey-flag-" });
        try {
          for (const [what, lines] of Object.entries(ROLLOUT_SESSIONS)) {
            await t.step(what, async () => assert.equal(await play(sides, lines, flag), ""));
          }
        } finally {
          await Deno.remove(flag, { recursive: true });
          await removeVolumes(sides.covey, basename(flag));
        }
      }),
  });
}
