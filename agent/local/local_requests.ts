/** What the agent answers on its own sockets: to a task about itself, to the person in front of the device about all. */
import { CoveyError, type ErrorCode } from "../../api/errors.ts";
import { LOG_STREAMS } from "../../api/logs.ts";
import { getLogger } from "../../api/log.ts";
import { isHeld } from "../../api/swap.ts";
import { placeName, type Task, taskName } from "../../api/task.ts";
import { versionHash } from "../bad_versions.ts";
import { can } from "../../executors/executor.ts";
import { type LocalAnswer, type LocalRequest, readRequest, writeAnswer } from "./http.ts";
import type { LocalServerOptions } from "./local_server.ts";

/** Characters of a version's hash that are shown: by so many somebody agrees to it. */
const HASH_PREFIX = 12;
/** Lines of a log that are shown unless more are asked for, and at most. */
const DEFAULT_TAIL = 100, MAX_TAIL = 100_000;
/** How long a lock holds where nothing is said. */
const DEFAULT_LOCK_SECONDS = 300;

const STATUS: Partial<Record<ErrorCode, number>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  failed_precondition: 409,
  resource_exhausted: 429,
};

const logger = getLogger(["covey", "local"]);

/** Answers the one request of a connection. `signal` ends what goes on for long. */
export async function serveLocal(
  connection: Deno.Conn,
  kind: "person" | "task",
  options: LocalServerOptions,
  signal: AbortSignal,
): Promise<void> {
  let answer: LocalAnswer;
  try {
    const request = await readRequest(connection, options.clock);
    answer = kind === "person" ? await person(request, options, signal) : await app(request, options);
  } catch (thrown) {
    const { code, message } = CoveyError.from(thrown);
    answer = { status: STATUS[code] ?? 503, json: { message } };
  }
  await writeAnswer(connection, answer);
}

/** A task, which its pass names: it hears of itself, and of nothing else. */
async function app(request: LocalRequest, options: LocalServerOptions): Promise<LocalAnswer> {
  const { worker, locks, passes } = options;
  const taskID = await passes?.taskOf(request.token);
  if (taskID === undefined || worker.access(taskID)?.over !== false) {
    throw new CoveyError(
      "unauthenticated",
      "Cannot answer: want Authorization: Bearer and COVEY_LOCAL_TOKEN",
    );
  }
  switch (`${request.method} ${request.path}`) {
    case "GET /v1/task":
      return { status: 200, json: shown(options, taskID) };
    case "PUT /v1/lock": {
      const until = await locks.lockTask(taskID, secondsOf(request));
      return { status: 200, json: { Until: until.toISOString() } };
    }
    case "DELETE /v1/lock":
      await locks.unlockTask(taskID);
      return { status: 200, json: {} };
    case "POST /v1/restart":
      return restart(options, taskID, "It asked for it itself");
  }
  throw unknownPath(request);
}

/** Whoever may open the socket. */
async function person(
  request: LocalRequest,
  options: LocalServerOptions,
  signal: AbortSignal,
): Promise<LocalAnswer> {
  const { worker, locks } = options, { method, path } = request;
  if (path === "/v1/tasks" && method === "GET") {
    return { status: 200, json: [...worker.list()].map(({ task }) => shown(options, task.ID)) };
  }
  if (path === "/v1/lock" && method === "PUT") {
    const until = await locks.lockDevice(secondsOf(request));
    return { status: 200, json: { Until: until.toISOString() } };
  }
  if (path === "/v1/lock" && method === "DELETE") {
    await locks.unlockDevice();
    return { status: 200, json: {} };
  }
  const [, reference = "", what] = /^\/v1\/tasks\/([^/]{1,200})\/(logs|restart)$/.exec(path) ?? [];
  if (what === "logs" && method === "GET") return logs(request, options, find(options, reference), signal);
  if (what === "restart" && method === "POST") {
    return restart(options, find(options, reference), "Somebody at the device asked for it");
  }
  throw unknownPath(request);
}

function unknownPath({ method, path }: LocalRequest): CoveyError {
  return new CoveyError("not_found", `Cannot answer: there is no ${method} ${path}`);
}

function secondsOf({ body: { Seconds = DEFAULT_LOCK_SECONDS } }: LocalRequest): number {
  if (typeof Seconds === "number") return Seconds;
  throw new CoveyError("invalid_argument", "Cannot lock: Seconds is no number");
}

function restart({ worker }: LocalServerOptions, taskID: string, why: string): LocalAnswer {
  worker.restart(taskID);
  logger.info("Restarting task {id}: {why}", { id: taskID, why });
  return { status: 200, json: {} };
}

/** A task by its ID, or how one begins, or the name of its service, or SERVICE.SLOT. */
function find({ worker }: LocalServerOptions, reference: string): string {
  const name = decodeURIComponent(reference);
  const names = (task: Task) => {
    const { ID, ServiceAnnotations: { Name } } = task;
    return [ID, Name, `${Name}.${placeName(task)}`, taskName(task)];
  };
  const tasks = [...worker.list()].map(({ task }) => task);
  const exact = tasks.filter((task) => names(task).includes(name));
  const found = exact.length > 0 ? exact : tasks.filter(({ ID }) => name !== "" && ID.startsWith(name));
  const present = found.filter(({ ID }) => worker.access(ID)?.over === false);
  const [task, another] = present.length > 0 ? present : found;
  if (task === undefined) {
    throw new CoveyError("not_found", `Cannot find task ${name}: the device has no such task`);
  }
  if (another) {
    throw new CoveyError("invalid_argument", `Cannot tell which task is meant by ${name}: it has several`);
  }
  return task.ID;
}

/** What there is to say of a task. */
function shown({ worker, locks }: LocalServerOptions, taskID: string) {
  const { task, status } = [...worker.list()].find((each) => each.task.ID === taskID)!;
  const next = worker.successorOf(taskID), lock = locks.ofTasks.get(taskID);
  const report = next?.status.Swap;
  return {
    ID: taskID,
    Service: task.ServiceAnnotations.Name,
    ServiceID: task.ServiceID,
    Slot: task.Slot,
    NodeID: task.NodeID,
    Version: versionHash(task).slice(0, HASH_PREFIX),
    Runtime: task.Spec.Runtime,
    DesiredState: task.DesiredState,
    State: status.State,
    Since: status.Timestamp,
    Message: status.Message,
    ...(status.Err && { Err: status.Err }),
    ...(lock !== undefined && { LockedUntil: new Date(lock).toISOString() }),
    UpdateWaits: next !== undefined,
    ...(next && {
      Update: {
        Version: versionHash(next.task).slice(0, HASH_PREFIX),
        State: next.status.State,
        ...(isHeld(report) && { Reason: report!.Reason, ...(report!.Until && { Until: report!.Until }) }),
      },
    }),
  };
}

function logs(
  { query }: LocalRequest,
  { worker }: LocalServerOptions,
  taskID: string,
  signal: AbortSignal,
): LocalAnswer {
  const access = worker.access(taskID), executor = access?.executor, handle = access?.handle;
  const tail = Number(query.get("tail") ?? DEFAULT_TAIL);
  if (!Number.isInteger(tail) || tail < 0 || tail > MAX_TAIL) {
    throw new CoveyError("invalid_argument", `Cannot show the log: tail has to be 0 to ${MAX_TAIL}`);
  }
  if (!executor || !handle || !can(executor, "logs")) {
    throw new CoveyError("failed_precondition", `Cannot show the log of task ${taskID}: it has none`);
  }
  const steps = executor.logs(
    handle,
    { streams: LOG_STREAMS, follow: query.get("follow") === "1", tail },
    signal,
  );
  return { status: 200, text: textOf(steps) };
}

async function* textOf(
  steps: AsyncIterable<{ Data: Uint8Array } | "caught up">,
): AsyncGenerator<Uint8Array, void> {
  for await (const step of steps) if (step !== "caught up") yield step.Data;
}
