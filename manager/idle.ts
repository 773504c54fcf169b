/** An idle manager's front: see `docs/decisions/0021-idle-front.md`. Started by `launch.sh`, which makes its sandbox. */
import { getLogger } from "@logtape/logtape";
import { fileURLToPath } from "node:url";
import { systemClock } from "../api/clock.ts";
import { CoveyError } from "../api/errors.ts";
import { configureLogging } from "../api/logging.ts";
import { connectEngine, serveControlSocket } from "./http/mod.ts";
import { IdleFront } from "./process/idle_front.ts";
import { parseManagerOptions } from "./process/options.ts";

async function run(): Promise<number> {
  const options = parseManagerOptions(Deno.args, Deno.cwd());
  const front = new IdleFront({
    options,
    args: Deno.args,
    launcher: fileURLToPath(new URL("./launch.sh", import.meta.url)),
    env: { COVEY_DENO: Deno.execPath() },
    clock: systemClock,
    interfaces: () => Deno.networkInterfaces(),
  });
  const asked = Promise.withResolvers<void>();
  for (const name of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(name, () => asked.resolve());
  await front.start();
  const engine = options.dockerSocket === undefined
    ? undefined
    : connectEngine(options.dockerSocket, systemClock);
  const socket = await serveControlSocket({
    path: options.apiSocket,
    fetch: (request) => front.fetch(request),
    engine,
  });
  getLogger(["covey", "manager"]).info("The control API is at unix://{socket}", {
    socket: options.apiSocket,
  });
  await Promise.race([asked.promise, front.ended]);
  await socket.close();
  engine?.close();
  return await front.stop();
}

configureLogging();
try {
  Deno.exit(await run());
} catch (thrown) {
  console.error(`run-manager: ${CoveyError.from(thrown).message}`);
  Deno.exit(1);
}
