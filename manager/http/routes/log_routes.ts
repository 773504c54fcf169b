/** `/services/ID/logs` and `/tasks/ID/logs`. */
import type { Context } from "@hono/hono";
import { CoveyError } from "../../../api/errors.ts";
import { LOG_STREAMS, logTimeOf } from "../../../api/logs.ts";
import type { TaskSpec } from "../../../api/service.ts";
import type { LogOptions, LogSelection, LogSubscription } from "../../broker/mod.ts";
import { findService, findTask } from "../../control/lookup.ts";
import { isBefore, pathOf } from "../api_version.ts";
import { type ControlApp, type ControlContext, managerForReading, saysYes } from "../context.ts";
import { dockerError } from "../docker_error.ts";
import { errorFrame, type FrameOptions, logFrame } from "../log_frames.ts";

/** Since then the kind of stream is told by its type. */
const TYPED_SINCE = "1.42";
/** More entries from the end are as good as all. */
const MAX_TAIL = 1_000_000_000;

/** Adds the routes. */
export function logRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/services/:id/logs", async (c) => {
    checkStreams(c);
    const { store, logs } = await managerForReading(context);
    const { ID, Spec } = findService(store, c.req.param("id"));
    return sendLogs(c, Spec.TaskTemplate, { serviceID: ID }, (...what) => logs.subscribe(...what));
  });
  app.get("/tasks/:id/logs", async (c) => {
    checkStreams(c);
    const { store, logs } = await managerForReading(context);
    const { ID, Spec } = findTask(store, c.req.param("id"));
    return sendLogs(c, Spec, { taskID: ID }, (...what) => logs.subscribe(...what));
  });
}

type Subscribe = (selection: LogSelection, options: LogOptions) => LogSubscription;

function checkStreams(c: Context): void {
  if (saysYes(c, "stdout") || saysYes(c, "stderr")) return;
  throw new CoveyError("invalid_argument", "Bad parameters: you must choose at least one stream");
}

function sendLogs(c: Context, spec: TaskSpec, selection: LogSelection, subscribe: Subscribe): Response {
  const options: LogOptions = {
    streams: LOG_STREAMS.filter((stream) => saysYes(c, stream)),
    follow: saysYes(c, "follow"),
    tail: tailParameter(c.req.query("tail") ?? ""),
    since: sinceParameter(c.req.query("since") ?? ""),
  };
  const multiplexed = !spec.ContainerSpec?.TTY;
  const frames = { timestamps: saysYes(c, "timestamps"), details: saysYes(c, "details"), multiplexed };
  const subscription = subscribe(selection, options);
  const typed = multiplexed && !isBefore(pathOf(c.req.raw.url), TYPED_SINCE);
  return c.body(bodyOf(subscription, frames), 200, {
    "Content-Type": `application/vnd.docker.${typed ? "multiplexed" : "raw"}-stream`,
    "Transfer-Encoding": "chunked",
  });
}

/** In moby's words, which gives these errors no code. */
function tailParameter(raw: string): number | undefined {
  if (raw === "" || raw === "all") return undefined;
  if (/^\+?\d{1,18}$/.test(raw)) return Math.min(Number(raw), MAX_TAIL);
  throw new CoveyError(
    "unknown",
    /^-\d+$/.test(raw)
      ? "negative tail values not supported"
      : 'tail value must be a positive integer or "all"',
  );
}

function sinceParameter(raw: string): string | undefined {
  if (raw === "" || raw === "0") return undefined;
  const since = logTimeOf(raw);
  if (since !== undefined) return since;
  throw new CoveyError("unknown", `could not parse since timestamp: invalid value: ${raw}`);
}

/** Takes from the subscription as the client reads; ends with it, and it with the client. */
function bodyOf(subscription: LogSubscription, options: FrameOptions): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const entries = await subscription.next();
        if (entries === undefined) return end(controller);
        for (const entry of entries) controller.enqueue(logFrame(entry, options));
      } catch (thrown) {
        const error = CoveyError.from(thrown);
        // What is missing is told at the end; where there is no end, the stream breaks off.
        if (error.code !== "unknown") {
          subscription.close();
          return controller.error(error);
        }
        controller.enqueue(
          errorFrame(`rpc error: code = Unknown desc = ${dockerError(error).message}`, options),
        );
        end(controller);
      }
    },
    cancel: () => subscription.close(),
  }, { highWaterMark: 0 });

  function end(controller: ReadableStreamDefaultController<Uint8Array>): void {
    // Closed by the client already.
    if (subscription.isClosed) return;
    subscription.close();
    controller.close();
  }
}
