/** The record of who runs a task, damaged while the program runs. */
import assert from "node:assert/strict";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { processFixture, processTask } from "../../conformance/process_fixture.ts";
import { copyShim } from "./hostile_agent.ts";

const never = new AbortController().signal;
const flipped = (line: number, at: number) => (bytes: Uint8Array) => {
  let start = 0;
  for (let n = 0; n < line; n++) start = bytes.indexOf(10, start) + 1;
  bytes[start + at]! ^= 1;
};

/** What happens to the bytes; a boot's ID has 36 characters. */
const DAMAGES: Record<string, (bytes: Uint8Array) => void> = {
  "the shim's boot": flipped(0, 3),
  "the shim's number": flipped(0, 38),
  "the program's boot": flipped(1, 3),
  "the program's number": flipped(1, 38),
  "a line's end": (bytes) => bytes[bytes.indexOf(10)] = 14,
  "all of it": (bytes) => bytes.fill(0xff),
};

for (const means of ["control groups", "sessions"]) {
  Deno.test(`Process: a record that is damaged is made good from what runs, which is not started twice, by ${means}`, async () => {
    const world = await processFixture();
    const shim = means === "sessions"
      ? await copyShim(world.stateDir, (text) => text.replaceAll("/sys/fs/cgroup", "/none"))
      : undefined;
    const executor = () =>
      createProcessExecutor({ stateDir: world.stateDir, nodeID: "n" }, { ...shim && { shim } });
    for (const [what, damage] of Object.entries(DAMAGES)) {
      const first = await executor(), record = (id: string) => `${world.stateDir}/runs/${id}`;
      // Ends by itself once it is told, with a code that its shim has to write down in the right place.
      const task = processTask({
        Command: "sh",
        Args: ["-c", "trap 'exit 7' USR1; while :; do sleep 0.1; done"],
      });
      const before = await first.controller(task);
      await before.start(never);
      const PID = (await before.status())!.PID, handle = before.handle()!;
      await before.close();
      await first.close();
      const whole = await Deno.readFile(record(task.ID)), bytes = whole.slice();
      damage(bytes);
      await Deno.writeFile(record(task.ID), bytes);
      const second = await executor(), after = await second.recover(task, handle);
      assert.equal((await after.status())!.PID, PID, what);
      // The control group's name is where the program is, or nowhere.
      const words = (text: string) =>
        text.replace(/ *\n/g, "\n").replace(/( \d+-\d+\.\d+)?\n/, means === "sessions" ? "\n" : "$&");
      const now = await Deno.readTextFile(record(task.ID));
      assert.equal(words(now), words(new TextDecoder().decode(whole)), what);
      Deno.kill(PID, "SIGUSR1");
      assert.equal((await after.wait(never)).ExitCode, 7, what);
      await after.remove(never);
      await second.close();
    }
    await world.close();
  });
}
