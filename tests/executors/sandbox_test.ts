import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { defaultShim } from "../../executors/default_shim.ts";
import { denoTask } from "../conformance/deno_fixture.ts";
import { containerTask, ENGINE_SOCKET, NO_ENGINE } from "../conformance/docker_fixture.ts";
import { processTask } from "../conformance/process_fixture.ts";

Deno.test("Sandbox: the executors work with the agent's permissions, and nothing else does", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-sandbox-" });
  const shim = defaultShim(), loaders = join(dirname(shim), "../deno");
  const tasks = [
    processTask({ Command: "sleep", Args: ["1000"] }),
    denoTask({ Source: "setInterval(() => {}, 1e6);" }),
  ];
  const expected = ["process: true 143", "deno: true 143"];
  if (!NO_ENGINE) {
    tasks.push(containerTask({ Command: ["sleep", "1000"], StopGracePeriod: 0 }));
    expected.push("container: true 137");
  }
  const program = fileURLToPath(new URL("./sandboxed_agent.ts", import.meta.url));
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-prompt",
      `--allow-run=${shim}`,
      `--allow-read=${stateDir},${shim},${loaders},${ENGINE_SOCKET}`,
      `--allow-write=${stateDir},${ENGINE_SOCKET}`,
      `--allow-net=unix:${ENGINE_SOCKET}`,
      program,
      JSON.stringify({ stateDir, socket: ENGINE_SOCKET, tasks }),
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assert.equal(new TextDecoder().decode(stderr).replace(/^(Check|Download).*\n/gm, ""), "");
  assert.deepEqual(lines, [
    ...expected,
    "run another program: refused",
    "signal a process: refused",
    "read elsewhere: refused",
    "write elsewhere: refused",
    "read a variable: refused",
    "listen: refused",
  ]);
  await Deno.remove(stateDir, { recursive: true });
});
