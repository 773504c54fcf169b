/** Talks to `helper/network.sh`, which makes what a node has of networks. `helper/network_server.sh` says how. */
import { fileURLToPath } from "node:url";
import type { Clock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { ServerLost, ShimServer } from "../executors/process/shim_server.ts";

/** Asks the helper; every verb may be asked again. */
export interface NetworkHelper {
  /** The answer's text. Rejects with the helper's words. */
  ask(verb: string, words: readonly string[]): Promise<string>;
  close(): Promise<void>;
}

/** The helper beside this module, unless the sandbox allows another path. */
function defaultHelper(): string {
  return fileURLToPath(new URL("./helper/network.sh", import.meta.url));
}

/** The helper at `path`, for the node `nodeID`. */
export function networkHelper(nodeID: string, clock: Clock, path = defaultHelper()): NetworkHelper {
  const server = new ShimServer(() => spawn(path, nodeID), clock);
  const once = (verb: string, words: readonly string[]) => server.ask(verb, words.join(" "));
  return {
    async ask(verb, words) {
      const answer = await once(verb, words).catch((thrown) => {
        if (thrown instanceof ServerLost) return once(verb, words);
        throw thrown;
      });
      const space = answer.indexOf(" "), word = answer.slice(0, space), text = answer.slice(space + 1).trim();
      if (word === "ok") return text;
      throw new CoveyError("failed_precondition", text, { retryable: true });
    },
    close: () => server.close(),
  };
}

function spawn(path: string, nodeID: string): Deno.ChildProcess {
  const args = ["serve", nodeID], streams = { stdin: "piped", stdout: "piped", stderr: "null" } as const;
  try {
    return new Deno.Command(path, { args, clearEnv: true, ...streams }).spawn();
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new CoveyError("failed_precondition", `Cannot run ${path}: ${message}`, { cause, retryable: true });
  }
}
