/** Runs one task with each built-in executor, then tries what the sandbox must refuse. Started by `sandbox_test.ts`. */
import { CoveyError } from "../../api/errors.ts";
import type { Task } from "../../api/task.ts";
import { loadExecutors } from "../../executors/load.ts";

const { stateDir, socket, tasks } = JSON.parse(Deno.args[0]!) as {
  stateDir: string;
  socket: string;
  tasks: Task[];
};
const never = new AbortController().signal;
const executors = await loadExecutors({ docker: socket, process: {}, modules: [] }, {
  stateDir,
  nodeID: "sandboxed",
});
for (const task of tasks) {
  const executor = executors.get(task.Spec.Runtime)!;
  const { Resources } = await executor.describe(never);
  const first = await executor.controller(task);
  await first.prepare(never);
  await first.start(never);
  await first.close();
  const controller = await executor.recover(task, first.handle()!);
  const waiting = controller.wait(never);
  await controller.shutdown(never);
  const { ExitCode } = await waiting;
  await controller.remove(never);
  console.log(`${task.Spec.Runtime}: ${Resources!.MemoryBytes! > 0} ${ExitCode}`);
}
for (const executor of executors.values()) await executor.close();

const forbidden: Record<string, () => unknown> = {
  "run another program": () => new Deno.Command("/bin/true").outputSync(),
  "signal a process": () => Deno.kill(1, "SIGCONT"),
  "read elsewhere": () => Deno.readTextFileSync("/etc/passwd"),
  "write elsewhere": () => Deno.writeTextFileSync("/tmp/covey-sandbox-escape", ""),
  "read a variable": () => Deno.env.get("HOME"),
  "listen": () => Deno.listen({ port: 0 }).close(),
};
for (const [what, attempt] of Object.entries(forbidden)) {
  try {
    attempt();
    console.log(`${what}: allowed`);
  } catch (error) {
    console.log(
      `${what}: ${error instanceof Deno.errors.NotCapable ? "refused" : CoveyError.from(error).message}`,
    );
  }
}
