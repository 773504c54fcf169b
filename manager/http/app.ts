/** The control API: Docker's swarm API, answered from the store. */
import { Hono } from "@hono/hono";
import type { ContentfulStatusCode } from "@hono/hono/utils/http-status";
import type { Clock } from "../../api/clock.ts";
import type { Random } from "../../api/random.ts";
import type { NodeLifecycle } from "./lifecycle.ts";
import { API_VERSION, checkVersion, pathOf, withoutVersion } from "./api_version.ts";
import { type Caller, requireRight } from "../control/caller.ts";
import {
  type ControlApp,
  type ControlContext,
  isDockerClient,
  type RequestEnv,
  sendJSON,
} from "./context.ts";
import { dockerError, shownMessage } from "./docker_error.ts";
import { connectEngine, type Engine } from "./engine.ts";
import { EventHub } from "./events/event_hub.ts";
import { isEnginePath } from "./engine_paths.ts";
import { backupRoutes } from "./routes/backup_routes.ts";
import { LeadersRequests } from "./hand_on.ts";
import { eventRoutes } from "./routes/event_routes.ts";
import { logRoutes } from "./routes/log_routes.ts";
import { managerRoutes } from "./routes/manager_routes.ts";
import { metricsRoutes } from "./routes/metrics_routes.ts";
import { networkRoutes } from "./routes/network_routes.ts";
import { noEngineRoutes } from "./routes/no_engine_routes.ts";
import { nodeRoutes } from "./routes/node_routes.ts";
import { payloadRoutes } from "./routes/payload_routes.ts";
import { planRoutes } from "./routes/plan_routes.ts";
import { serviceRoutes } from "./routes/service_routes.ts";
import { swarmRoutes } from "./routes/swarm_routes.ts";
import { RenderedObjects } from "./rendered.ts";
import { rightFor } from "./rights.ts";
import { swarmNetworkRoutes } from "./routes/swarm_network_routes.ts";
import { systemRoutes } from "./routes/system_routes.ts";
import { explainRoutes } from "./routes/explain_routes.ts";
import { openTaskStream } from "./task_streams.ts";
import { taskRoutes } from "./routes/task_routes.ts";
import { variableRoutes } from "./routes/variable_routes.ts";

/** What the control API needs. */
export interface ControlOptions {
  lifecycle: NodeLifecycle;
  clock: Clock;
  random: Random;
  /** Socket of the local container engine; undefined where there is none. */
  engine?: string | undefined;
  /** Covey's version. */
  version: string;
}

/** The control API and the way to let go of what it holds. */
export interface ControlAPI {
  app: ControlApp;
  /** Answers a request of `caller`. */
  fetch(request: Request, caller: Caller): Response | Promise<Response>;
  /** What every response carries besides its own: whoever writes it to a client adds them. */
  readonly headers: Readonly<Record<string, string>>;
  /** See {@linkcode LeadersRequests.answer}. */
  answer(request: Request, caller: Caller): Promise<Response>;
  /** Opens the stream into a task that `caller` asks for with this target and body. */
  openStream(
    request: { target: string; body: string; caller: Caller },
    fromClient: AsyncIterator<Uint8Array>,
    signal: AbortSignal,
  ): Promise<AsyncIterableIterator<unknown>>;
  /** The local container engine, for what is handed to it; undefined where there is none. */
  readonly engine: Engine | undefined;
  /** Stops following the store and closes connections to the engine. */
  close(): void;
}

/** Builds the control API. Requests may carry a `/v1.51` prefix or none. */
export function controlAPI(options: ControlOptions): ControlAPI {
  const { lifecycle, clock, random, version } = options;
  const engine = options.engine === undefined ? undefined : connectEngine(options.engine, clock);
  const context: ControlContext = { lifecycle, clock, random, version, engine };
  const rendered = new RenderedObjects();
  const hub = new EventHub(clock);
  hub.follow(lifecycle.manager);

  const leaders = new LeadersRequests(lifecycle, (request, caller) => app.fetch(request, { caller }));
  const app: ControlApp = new Hono<RequestEnv>({ getPath: (request) => withoutVersion(pathOf(request.url)) });
  app.use(async (c, next) => {
    hub.follow(lifecycle.manager);
    checkVersion(pathOf(c.req.raw.url));
    requireRight(c.env.caller, rightFor(c.req.method, c.req.path));
    const response = await leaders.route(c, next);
    if (response) return response;
    hub.follow(lifecycle.manager);
  });
  systemRoutes(app, context);
  eventRoutes(app, context, hub);
  swarmRoutes(app, context);
  logRoutes(app, context);
  nodeRoutes(app, context, rendered);
  serviceRoutes(app, context, rendered);
  planRoutes(app, context);
  taskRoutes(app, context, rendered);
  explainRoutes(app, context);
  payloadRoutes(app, context);
  swarmNetworkRoutes(app, context);
  variableRoutes(app, context);
  networkRoutes(app, context);
  backupRoutes(app, context);
  managerRoutes(app, context);
  metricsRoutes(app, context);
  if (engine === undefined) noEngineRoutes(app);
  app.notFound((c) =>
    engine === undefined && isEnginePath(c.req.path)
      ? sendJSON(c, { message: "No container engine on this node: it can answer for the swarm only" }, 503)
      : sendJSON(c, { message: "page not found" }, 404)
  );
  app.onError((thrown, c) => {
    const { status, message, reason } = dockerError(thrown, isDockerClient(c));
    return sendJSON(c, { message: shownMessage(message), reason }, status as ContentfulStatusCode);
  });
  return {
    app,
    headers: {
      "Api-Version": API_VERSION,
      "Docker-Experimental": "false",
      "Ostype": Deno.build.os,
      "Server": `Covey/${version} (${Deno.build.os})`,
    },
    fetch: (request, caller) => app.fetch(request, { caller }),
    answer: (request, caller) => leaders.answer(request, caller),
    // deno-lint-ignore require-await -- what is wrong with the request rejects, it does not throw
    openStream: async (...what) => openTaskStream(context, ...what),
    engine,
    close() {
      hub.close();
      engine?.close();
    },
  };
}
