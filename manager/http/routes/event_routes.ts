/** `/events`: the swarm's events, and those of the local engine where there is one. */
import { type Filters, parseFilters } from "../../control/filters.ts";
import type { ControlApp, ControlContext } from "../context.ts";
import { EVENT_FILTERS, timeParameter, wantsEvent } from "../events/event_filter.ts";
import type { EventHub } from "../events/event_hub.ts";
import { eventLine, type SwarmEvent } from "../events/swarm_event.ts";

/** Lines that wait for a slow client; one that is further behind is cut off. */
const MAX_WAITING_LINES = 4096;

/** Adds the route. */
export function eventRoutes(app: ControlApp, context: ControlContext, hub: EventHub): void {
  app.get("/events", (c) => {
    const filters = parseFilters(c.req.query("filters"), EVENT_FILTERS);
    const since = timeParameter("since", c.req.query("since"));
    const until = timeParameter("until", c.req.query("until"));
    const { search } = new URL(c.req.url);
    const body = eventStream({ context, hub, filters, since, until, enginePath: `/events${search}` });
    return c.body(body, 200, { "Content-Type": "application/json", "Transfer-Encoding": "chunked" });
  });
}

interface StreamOptions {
  context: ControlContext;
  hub: EventHub;
  filters: Filters;
  /** Milliseconds since 1970. */
  since: number | undefined;
  until: number | undefined;
  enginePath: string;
}

function eventStream(options: StreamOptions): ReadableStream<Uint8Array> {
  const { context: { clock, engine }, hub, filters, since, until } = options;
  const encoder = new TextEncoder();
  const abort = new AbortController();
  const stops: (() => void)[] = [() => abort.abort()];
  const stop = () => stops.splice(0).forEach((each) => each());
  let onDemand = () => {};
  stops.push(() => onDemand());
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const end = () => {
        if (stops.length === 0) return;
        stop();
        controller.close();
      };
      const write = (event: SwarmEvent) => {
        if (
          stops.length === 0 || !wantsEvent(filters, event) || (until !== undefined && event.timeMs > until)
        ) return;
        controller.enqueue(encoder.encode(eventLine(event)));
        if ((controller.desiredSize ?? 0) < -MAX_WAITING_LINES) end();
      };
      if (since !== undefined) {
        for (const event of hub.remembered()) if (event.timeMs >= since) write(event);
      }
      if (until !== undefined && until <= clock.now()) {
        if (engine === undefined) return end();
      } else {
        stops.push(hub.listen(write));
        if (until !== undefined) stops.push(clock.setTimer(until - clock.now(), end));
      }
      if (engine !== undefined) {
        const past = until !== undefined && until <= clock.now();
        // The engine's lines wait in the engine until the client has read what is here.
        const demand = () => {
          if (abort.signal.aborted || (controller.desiredSize ?? 0) > 0) return Promise.resolve();
          return new Promise<void>((resolve) => onDemand = resolve);
        };
        copyEngineEvents(options, controller, abort.signal, demand).then(() => past && end());
      }
    },
    pull: () => onDemand(),
    cancel: stop,
  });
}

/** Passes the engine's lines through, as long as both sides are there. */
async function copyEngineEvents(
  { context: { engine }, enginePath }: StreamOptions,
  controller: ReadableStreamDefaultController<Uint8Array>,
  signal: AbortSignal,
  demand: () => Promise<void>,
): Promise<void> {
  try {
    const response = await engine?.stream(enginePath, signal);
    for await (const chunk of response?.body ?? []) {
      if (signal.aborted) return;
      controller.enqueue(chunk);
      await demand();
    }
  } catch {
    // The engine went away or the client did; the swarm's own events go on or have ended already.
  }
}
