import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";

const never = new AbortController().signal;

Deno.test("Process: a program survives kill -9 of the agent's whole process group", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-killed-" });
  const task = processTask({ Command: "sleep", Args: ["1000"] });
  const module = fileURLToPath(new URL("../../../executors/process/process_executor.ts", import.meta.url));
  const agent = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `import { createProcessExecutor } from ${JSON.stringify(`file://${module}`)};
       const executor = await createProcessExecutor(${JSON.stringify({ stateDir, nodeID: NODE_ID })});
       const controller = await executor.controller(${JSON.stringify(task)});
       await controller.start(new AbortController().signal);
       console.log(JSON.stringify([controller.handle(), await controller.status()]));
       await controller.wait(new AbortController().signal);`,
    ],
    stdout: "piped",
    detached: true,
  }).spawn();
  const reader = agent.stdout.getReader();
  const [handle, before] = JSON.parse(new TextDecoder().decode((await reader.read()).value));
  Deno.kill(-agent.pid, "SIGKILL");
  await agent.status;
  await reader.cancel();

  const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID });
  const controller = await executor.recover(task, handle);
  assert.deepEqual(await controller.status(), before);
  const waiting = controller.wait(never);
  await controller.shutdown(never);
  assert.equal((await waiting).ExitCode, 143);
  await controller.remove(never);
  await executor.close();
  await Deno.remove(stateDir, { recursive: true });
});
