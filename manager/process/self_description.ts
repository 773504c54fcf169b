/** What a manager without an agent tells of its node, once: with an agent beside it, that is the agent's business. */
import { Backoff } from "../../api/backoff.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { getLogger } from "@logtape/logtape";
import type { NodeDescription } from "../../api/node.ts";
import { ADMINISTRATOR, type Caller } from "../control/caller.ts";
import type { ManagerHandle } from "../http/lifecycle.ts";

const logger = getLogger(["covey", "node"]);

/** What telling takes. */
export interface SelfDescriptionOptions {
  clock: Clock;
  manager: Pick<ManagerHandle, "nodeID" | "forward">;
  description: NodeDescription;
  /** Answers here, for while this manager leads. */
  answer: (request: Request, caller: Caller) => Response | Promise<Response>;
}

/** Tells the leader until it has taken it in, or `signal` aborts. Never rejects. */
export async function describeSelf(options: SelfDescriptionOptions, signal: AbortSignal): Promise<void> {
  const { clock, manager, description, answer } = options;
  const backoff = new Backoff({ minMs: 1_000, maxMs: 60_000 });
  const Path = `/covey/nodes/${manager.nodeID}/description`, body = JSON.stringify(description);
  const here = async () =>
    await answer(new Request(`http://docker${Path}`, { method: "POST", body }), ADMINISTRATOR);
  while (!signal.aborted) {
    try {
      const Body = new TextEncoder().encode(body);
      const response = await manager.forward(
        { Method: "POST", Path, Headers: [], Body, Caller: ADMINISTRATOR },
        here,
      );
      const text = await response?.text();
      if (response?.ok) return;
      logger.debug("The leader does not take this node's description yet: {text}", { text });
    } catch (thrown) {
      logger.debug("Cannot tell the leader of this node yet: {message}", {
        message: (thrown as Error).message,
      });
    }
    await sleep(clock, backoff.next(), signal).catch(() => {});
  }
}
