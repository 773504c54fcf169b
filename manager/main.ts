/** Entry point of `deno task run-manager`. */
import { getLogger } from "@logtape/logtape";
import { fileURLToPath } from "node:url";
import config from "../deno.json" with { type: "json" };
import { systemClock } from "../api/clock.ts";
import { makePassableFolder } from "../api/private_folder.ts";
import { CoveyError } from "../api/errors.ts";
import { configureLogging } from "../api/logging.ts";
import { untilParentEnds } from "../api/parent.ts";
import { systemRandom } from "../api/random.ts";
import { takeJoinToken } from "../api/handed_token.ts";
import { lockFolder } from "./consensus/disk/folder_lock.ts";
import { ADMINISTRATOR } from "./control/caller.ts";
import { controlAPI, serveControlSocket } from "./http/mod.ts";
import { systemLookUp } from "./process/look_up.ts";
import { ManagerNode } from "./process/manager_node.ts";
import { MANAGER_USAGE, type ManagerOptions, parseManagerOptions } from "./process/options.ts";

/** Covey's version, as `deno.json` has it. */
const VERSION = config.version;

const logger = getLogger(["covey", "manager"]);

/** What the system says of a disk or a file names no folder. */
function described(error: Error, { stateDir }: ManagerOptions): string {
  return error instanceof CoveyError
    ? error.message
    : `Cannot use the state folder ${stateDir}: ${error.message}`;
}

async function lockStateFolder(options: ManagerOptions): Promise<() => void> {
  try {
    await makePassableFolder(options.stateDir);
    return await lockFolder(options.stateDir);
  } catch (thrown) {
    throw new CoveyError("unknown", described(thrown as Error, options), { cause: thrown });
  }
}

async function run(options: ManagerOptions): Promise<number> {
  const unlock = await lockStateFolder(options);
  const ended = Promise.withResolvers<number>();
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, () => ended.resolve(0));
  if (options.exitWithParent) untilParentEnds().then(() => ended.resolve(0));
  const node = new ManagerNode({
    options,
    clock: systemClock,
    random: systemRandom,
    answer: (request, caller) => api.answer(request, caller),
    agentLauncher: fileURLToPath(new URL("../agent/launch.sh", import.meta.url)),
    agentEnv: { COVEY_DENO: Deno.execPath() },
    version: VERSION,
    hostname: () => Deno.hostname(),
    lookUp: systemLookUp(fileURLToPath(new URL("../transport/look_up.sh", import.meta.url))),
    interfaces: () => Deno.networkInterfaces(),
    onFatal: (error) => {
      logger.fatal("Cannot go on: {message}", { message: described(error, options) });
      ended.resolve(1);
    },
  });
  // The API first: while a node joins or loads its state, `docker info` can already say so.
  const api = controlAPI({
    lifecycle: node,
    clock: systemClock,
    random: systemRandom,
    engine: options.dockerSocket,
    version: VERSION,
  });
  const socket = await serveControlSocket({
    path: options.apiSocket,
    fetch: (request) => api.fetch(request, ADMINISTRATOR),
    openStream: (target, body, ...ends) => api.openStream({ target, body, caller: ADMINISTRATOR }, ...ends),
    headers: api.headers,
    engine: api.engine,
  });
  // That of a child is known to its parent alone.
  if (!options.exitWithParent) {
    logger.info("The control API is at unix://{socket}", { socket: options.apiSocket });
  }
  let ending = false;
  node.open().catch((error: Error) => {
    if (!ending) logger.fatal("{message}", { message: described(error, options) });
    ended.resolve(1);
  });
  const code = await ended.promise;
  ending = true;
  api.close();
  await socket.close();
  await node.close();
  unlock();
  return code;
}

if (Deno.args.includes("--help")) {
  console.log(MANAGER_USAGE);
  Deno.exit(0);
}
configureLogging();
try {
  Deno.exit(await run(parseManagerOptions(Deno.args, Deno.cwd(), takeJoinToken())));
} catch (thrown) {
  console.error(`run-manager: ${CoveyError.from(thrown).message}`);
  Deno.exit(1);
}
