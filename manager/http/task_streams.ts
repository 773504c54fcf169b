/** `POST /tasks/ID/stream`: what the control API does with a connection that becomes a stream. */
import { CoveyError } from "../../api/errors.ts";
import { checkStreamUse } from "../../api/validate/mod.ts";
import { type Caller, requireRight } from "../control/caller.ts";
import { checkVersion, withoutVersion } from "./api_version.ts";
import { type ControlContext, requireManager } from "./context.ts";
import { rightFor } from "./rights.ts";

/** Opens the stream that a client asks for. Rejects with what it is to be answered. */
export function openTaskStream(
  context: ControlContext,
  { target, body, caller }: { target: string; body: string; caller: Caller },
  fromClient: AsyncIterator<Uint8Array>,
  signal: AbortSignal,
): Promise<AsyncIterableIterator<unknown>> {
  const [path = ""] = target.split("?", 1), [, , id = ""] = withoutVersion(path).split("/");
  checkVersion(path);
  requireRight(caller, rightFor("POST", withoutVersion(path)));
  const manager = requireManager(context), Use = checkStreamUse(parsed(body));
  return manager.openStream({ TaskID: decoded(id), Use }, caller, fromClient, signal);
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch (cause) {
    throw new CoveyError("invalid_argument", `Cannot open a stream: the task's name is malformed: ${id}`, {
      cause,
    });
  }
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    const why = (cause as Error).message;
    throw new CoveyError("invalid_argument", `Cannot open a stream: the body is no JSON: ${why}`, { cause });
  }
}
