/** A shim that is killed closes its file a moment before the system says that it has ended. */
import assert from "node:assert/strict";
import { ExitWatch, type FolderWatch } from "../../../executors/process/exit_watch.ts";
import { ProcessController } from "../../../executors/process/process_controller.ts";
import { shimRequest } from "../../../executors/process/process_spec.ts";
import type { Shim, ShimState } from "../../../executors/process/shim.ts";
import { MemoryFolder } from "../../../executors/memory_folder.ts";
import { NO_DEPENDENCIES } from "../../../executors/executor.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

/** A watch that tells what the test says. */
class ToldWatch implements FolderWatch {
  readonly #events: Pick<Deno.FsEvent, "kind" | "paths">[] = [];
  #wake = Promise.withResolvers<void>();
  #closed = false;

  closes(path: string): void {
    this.#events.push({ kind: "access", paths: [path] });
    this.#wake.resolve();
  }

  close(): void {
    this.#closed = true;
    this.#wake.resolve();
  }

  async *[Symbol.asyncIterator]() {
    while (!this.#closed) {
      this.#wake = Promise.withResolvers();
      while (this.#events.length > 0) yield this.#events.shift()!;
      await this.#wake.promise;
    }
  }
}

Deno.test("Process: a shim that is still there when its file is closed is looked at once more", async () => {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-dying-" }), clock = new FakeClock();
  const watch = new ToldWatch(), exits = new ExitWatch(stateDir, clock, () => watch);
  const signals: string[] = [];
  let state: ShimState = { state: "running", pid: 42 };
  const shim = {
    run: () => Promise.resolve(42),
    check: () => Promise.resolve(state),
    signal: (_id: string, name: string) => Promise.resolve(void signals.push(name)),
  } as unknown as Shim;
  const task = processTask({ Command: "/bin/sleep" });
  const memory = new MemoryFolder("/nonexistent", stateDir);
  const controller = new ProcessController(
    { shim, exits, clock, stateDir, memory },
    task,
    shimRequest(task, "/bin"),
    NO_DEPENDENCIES,
  );
  await controller.prepare(new AbortController().signal);
  await controller.start(new AbortController().signal);
  watch.closes(`${stateDir}/${task.ID}`);
  for (let i = 0; i < 20; i++) await settle();
  state = { state: "orphan", pid: 42 };
  await clock.advance(1000);
  for (let i = 0; i < 20; i++) await settle();
  assert.deepEqual(signals, ["KILL"]);
  const { ExitCode, Reason } = await controller.wait(new AbortController().signal);
  assert.deepEqual({ ExitCode, Reason }, { ExitCode: 137, Reason: "its shim was killed" });
  await controller.close();
  await exits.close();
  await Deno.remove(stateDir, { recursive: true });
});
