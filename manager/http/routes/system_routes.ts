/** `/_ping`, `/version`, `/info`. */
import { type ControlApp, type ControlContext, sendJSON } from "../context.ts";
import { infoView, versionView } from "../views/info_view.ts";

const NO_CACHE = { "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache" };

/** Adds the routes. */
export function systemRoutes(app: ControlApp, context: ControlContext): void {
  app.get("/_ping", async (c) => {
    const builder = (await context.engine?.ping())?.get("builder-version");
    return c.body("OK", 200, {
      ...NO_CACHE,
      "Content-Type": "text/plain; charset=utf-8",
      "Swarm": swarmStatus(context),
      ...(builder && { "Builder-Version": builder }),
    });
  });
  app.get("/version", async (c) => sendJSON(c, await versionView(context)));
  app.get("/info", async (c) => sendJSON(c, await infoView(context)));
}

/** The `Swarm` header: the node's state, and its role while it is in a swarm. */
function swarmStatus({ lifecycle }: ControlContext): string {
  const { state, manager } = lifecycle;
  return state === "active" ? `active/${manager === undefined ? "worker" : "manager"}` : state;
}
