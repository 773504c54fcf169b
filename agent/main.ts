/** `run-agent`: the program of a device. Start it through `launch.sh`, which makes its sandbox. */
import { CoveyError } from "../api/errors.ts";
import { getLogger, lineSink, setLogSink } from "../api/log.ts";
import { takeJoinToken } from "../api/handed_token.ts";
import { firstLineOfParent, START_AGAIN, untilParentEnds } from "../api/parent.ts";
import { AGENT_USAGE, parseAgentOptions } from "./options.ts";
import { type EndRequest, runAgent } from "./run_agent.ts";

/** What a parent process writes to have the tasks removed before the agent ends. */
const LEAVE_WORD = "leave";
/** Nobody sees to it that an agent that ends by itself does end; a manager gives its agent as long. */
const RENEWAL_GRACE_MS = 5_000;

/** Resolves when a signal, or with `--exit-with-parent` the end of standard input, asks the agent to end. */
function untilAsked(exitWithParent: boolean): Promise<EndRequest> {
  return new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(name, () => resolve({ leave: false }));
    }
    if (exitWithParent) untilParentEnds().then((text) => resolve({ leave: text.includes(LEAVE_WORD) }));
  });
}

async function main(): Promise<number> {
  if (Deno.args.includes("--help")) {
    console.log(AGENT_USAGE);
    return 0;
  }
  setLogSink(lineSink());
  const abort = new AbortController(), renewed = Promise.withResolvers<EndRequest>();
  let code = 0;
  let stateDir = "";
  try {
    const options = parseAgentOptions(Deno.args, Deno.cwd(), takeJoinToken());
    stateDir = options.stateDir;
    const identityKey = options.identitySealed ? Uint8Array.fromBase64(await firstLineOfParent()) : undefined;
    const ended = Promise.race([untilAsked(options.exitWithParent), renewed.promise]).then((request) => {
      if (request.startAgain) {
        code = START_AGAIN;
        setTimeout(() => Deno.exit(code), RENEWAL_GRACE_MS);
      }
      abort.abort(new CoveyError("canceled", "Cannot go on: the agent was asked to end"));
      return request;
    });
    await runAgent(
      { ...options, identityKey },
      ended,
      abort.signal,
      () => renewed.resolve({ leave: false, startAgain: true }),
    );
    return code;
  } catch (thrown) {
    if (abort.signal.aborted) return code;
    const why = CoveyError.from(thrown).message;
    // Errors of the system (disk full, no permission) do not say which folder they are about.
    const message = thrown instanceof CoveyError || stateDir === ""
      ? why
      : `Cannot use the state folder ${stateDir}: ${why}`;
    getLogger(["covey", "agent"]).error("{message}", { message });
    return 1;
  }
}

Deno.exit(await main());
