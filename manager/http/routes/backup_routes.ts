/** `/covey/backup` and `/covey/restore`: the cluster's state as a stream, and a cluster from one. */
import { BACKUP_PATH, BACKUP_TYPE, RESTORE_PATH, type RestoreParameters } from "../../../api/backup.ts";
import { backupFrames } from "../../backup/mod.ts";
import { type ControlApp, type ControlContext, managerForReading, sendJSON } from "../context.ts";

/** Adds the routes. */
export function backupRoutes(app: ControlApp, context: ControlContext): void {
  app.get(BACKUP_PATH, async (c) => {
    const { store, consensus } = await managerForReading(context);
    const { clock, version } = context;
    const frames = backupFrames({ store, consensus, clock, version });
    return c.body(ReadableStream.from(frames), 200, {
      "Content-Type": BACKUP_TYPE,
      "Transfer-Encoding": "chunked",
    });
  });
  app.post(RESTORE_PATH, async (c) => {
    const body = c.req.raw.body ?? ReadableStream.from<Uint8Array>([]);
    const request: RestoreParameters = {};
    for (const name of ["ListenAddr", "AdvertiseAddr"] as const) {
      const value = c.req.query(name);
      if (value) request[name] = value;
    }
    return sendJSON(c, await context.lifecycle.restore(body, request));
  });
}
