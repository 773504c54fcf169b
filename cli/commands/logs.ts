/** `covey service logs` and `covey task logs`. */
import type { Command } from "commander";
import { showable, showableLines } from "../../api/characters.ts";
import { parseGoDuration, toMs } from "../../api/duration.ts";
import { CoveyError } from "../../api/errors.ts";
import type { ServiceView, TaskView } from "../api_types.ts";
import type { ControlClient, Query } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { getService, hostnames } from "../lookup.ts";
import { logLines } from "../log_stream.ts";
import { shownID } from "../output.ts";
import { parseCount } from "../units.ts";

interface LogFlags {
  follow?: boolean;
  tail: string;
  since?: string;
  timestamps?: boolean;
  details?: boolean;
  raw?: boolean;
  trunc?: boolean;
}

/** Adds `logs` to the commands of services or tasks. */
export function logsCommand(parent: Command, context: Context, kind: "service" | "task"): void {
  parent.command("logs").description(`Show what the tasks of a service, or one task, have printed`)
    .argument(kind === "service" ? "<service|task>" : "<task>")
    .option("-f, --follow", "go on with what they print from now on")
    .option("-n, --tail <number>", "only so many lines from the end, of all tasks together", "all")
    .option("--since <time>", "only what came later: a time (2026-01-02T15:04:05Z) or an age (10m)")
    .option("-t, --timestamps", "with times")
    .option("--details", "with what the log driver knows besides")
    .option("--raw", "what was printed and nothing else, as it is")
    .option("--no-trunc", "whole IDs")
    .action((reference: string, flags: LogFlags, command) =>
      withClient(context, command, async (client) => {
        const found = await find(client, kind, reference);
        const query = queryOf(flags, context.output.nowMs());
        const bytes = client.download(`${found.path}/logs`, context.signal, query);
        if (found.terminal) {
          for await (const piece of bytes) context.output.write(new TextDecoder().decode(piece));
          return;
        }
        await show(context, bytes, flags, new Names(client));
      })
    );
}

/** Where the logs of what is meant are: a service, or else a task, as docker looks. */
async function find(
  client: ControlClient,
  kind: "service" | "task",
  reference: string,
): Promise<{ path: string; terminal: boolean }> {
  if (kind === "service") {
    try {
      const { ID, Spec } = await getService(client, reference);
      return { path: `/services/${ID}`, terminal: Spec.TaskTemplate.ContainerSpec?.TTY === true };
    } catch (thrown) {
      if (CoveyError.from(thrown).code !== "not_found") throw thrown;
    }
  }
  try {
    const { ID, Spec } = await client.get<TaskView>(`/tasks/${encodeURIComponent(reference)}`);
    return { path: `/tasks/${ID}`, terminal: Spec.ContainerSpec?.TTY === true };
  } catch (thrown) {
    const error = CoveyError.from(thrown);
    if (error.code !== "not_found" || kind === "task") throw thrown;
    throw new CoveyError("not_found", `no such task or service: ${reference}`);
  }
}

function queryOf({ follow, tail, since, timestamps }: LogFlags, nowMs: number): Query {
  return {
    stdout: true,
    stderr: true,
    // Whose a line is, stands there.
    details: true,
    follow: follow ?? false,
    timestamps: timestamps ?? false,
    tail: tail === "all" ? tail : parseCount("tail", tail),
    since: since === undefined ? undefined : secondsSince(since, nowMs),
  };
}

/** A time or an age in seconds since 1970. */
function secondsSince(text: string, nowMs: number): string {
  const age = parseGoDuration(text), ms = age === undefined ? Date.parse(text) : nowMs - toMs(age);
  if (!Number.isNaN(ms)) return (Math.max(0, ms) / 1000).toFixed(3);
  const wanted = "a time such as 2026-01-02T15:04:05Z or an age such as 10m";
  throw new CoveyError("invalid_argument", `Cannot read --since as ${wanted}: current value is "${text}"`);
}

async function show(
  { output }: Context,
  bytes: AsyncIterable<Uint8Array>,
  { timestamps = false, details = false, raw = false, trunc = true }: LogFlags,
  names: Names,
): Promise<void> {
  for await (const line of logLines(bytes, { timestamps })) {
    if (line.stream === "system") throw new CoveyError("unknown", line.text.trimEnd());
    const write = (text: string) => line.stream === "stderr" ? output.note(text) : output.write(text);
    const time = timestamps ? `${line.time} ` : "";
    if (raw) {
      write(time + line.text);
      continue;
    }
    const whose = await names.of(line.details, trunc);
    const more = [...line.details].filter(([key]) => !key.startsWith("com.docker.swarm."));
    const shown = details && more.length > 0 ? `${more.map(([k, v]) => `${k}=${v}`).join(",")} ` : "";
    write(`${time}${whose}    | ${showable(shown)}${showableLines(line.text)}`);
    if (!line.text.endsWith("\n")) write("\n");
  }
}

/** How tasks are called, each asked for once. */
class Names {
  readonly #client: ControlClient;
  readonly #known = new Map<string, Promise<string>>();
  #hosts: Promise<Map<string, string>> | undefined;

  constructor(client: ControlClient) {
    this.#client = client;
  }

  /** `service.slot.task@host` */
  of(details: Map<string, string>, trunc: boolean): Promise<string> {
    const part = (name: string) => details.get(`com.docker.swarm.${name}.id`) ?? "";
    const task = part("task");
    const known = this.#known.get(task) ?? this.#find(part("service"), task, part("node"), trunc);
    this.#known.set(task, known);
    return known;
  }

  async #find(serviceID: string, taskID: string, nodeID: string, trunc: boolean): Promise<string> {
    const [service, task, hosts] = await Promise.all([
      this.#client.get<ServiceView>(`/services/${serviceID}`).catch(() => undefined),
      this.#client.get<TaskView>(`/tasks/${taskID}`).catch(() => undefined),
      this.#hosts ??= hostnames(this.#client).catch(() => new Map<string, string>()),
    ]);
    const host = hosts.get(nodeID) ?? nodeID, place = task?.Slot ?? nodeID;
    return showable(`${service?.Spec.Name ?? serviceID}.${place}.${shownID(taskID, { trunc })}@${host}`);
  }
}
