/** `/covey/backup` and `/covey/restore`: the cluster's state as a stream, and a cluster from one. */
import {
  BACKUP_PATH,
  BACKUP_TYPE,
  type OldSnapshotView,
  RESTORE_PATH,
  type RestoreParameters,
  SNAPSHOTS_PATH,
} from "../../../api/backup.ts";
import { CoveyError } from "../../../api/errors.ts";
import { backupFrames, snapshotFrames } from "../../backup/mod.ts";
import {
  type ControlApp,
  type ControlContext,
  managerForReading,
  requireManager,
  sendJSON,
} from "../context.ts";

/** Adds the routes. */
export function backupRoutes(app: ControlApp, context: ControlContext): void {
  app.get(BACKUP_PATH, async (c) => {
    const { store, consensus } = await managerForReading(context);
    const { clock, version } = context, source = { store, consensus, clock, version };
    const wanted = c.req.query("snapshot");
    const frames = wanted === undefined
      ? backupFrames(source)
      : await snapshotFrames(source, indexOf(wanted));
    return c.body(ReadableStream.from(frames), 200, {
      "Content-Type": BACKUP_TYPE,
      "Transfer-Encoding": "chunked",
    });
  });
  app.get(SNAPSHOTS_PATH, (c) => {
    const { consensus } = requireManager(context);
    const shown = (consensus.states?.old ?? []).map(({ index, writtenAt }): OldSnapshotView => ({
      Index: index,
      WrittenAt: new Date(writtenAt).toISOString(),
    }));
    return sendJSON(c, shown);
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

function indexOf(text: string): number {
  const index = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(index)) return index;
  const problem = {
    field: "snapshot",
    message: `must be the index of a snapshot: current value is ${JSON.stringify(text)}`,
  };
  throw CoveyError.invalid("make the backup", [problem]);
}
