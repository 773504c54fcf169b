/** The device's own list decides what may be done inside of its tasks; the shim reads it, whatever the agent says. */
import assert from "node:assert/strict";
import type { InputFrame } from "../../../api/stream_frames.ts";
import type { StreamUse } from "../../../api/streams.ts";
import type { Executor, TaskEnterer } from "../../../executors/executor.ts";
import { askShim } from "../../../executors/ask_shim.ts";
import { processFixture, processTask } from "../../conformance/process_fixture.ts";
import { copyShim } from "./hostile_agent.ts";

const never = new AbortController().signal;
const EXEC: StreamUse = { Kind: "exec", Command: ["true"] };
const COPY: StreamUse = { Kind: "copy", Path: "." };
const FORWARD: StreamUse = { Kind: "forward", Port: 80 };

async function* nothing(): AsyncGenerator<InputFrame> {
  yield await Promise.resolve({ kind: "input", data: new Uint8Array() } as const);
}

interface World {
  list: string;
  allow: string;
  shim: string;
  /** What comes of it: `done`, or why not. */
  tries(use: StreamUse): Promise<string>;
}

async function withList(test: (world: World) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-enter-" }),
    list = `${folder}/exec`,
    allow = `${folder}/allow`;
  await Deno.chmod(folder, 0o755);
  const shim = await copyShim(
    folder,
    (text) =>
      text.replace("ENTER=/etc/covey/exec", `ENTER=${list}`).replace(
        "ALLOW=/etc/covey/allow",
        `ALLOW=${allow}`,
      ),
  );
  const world = await processFixture({ shim }), executor = await world.executor() as Executor & TaskEnterer;
  const task = processTask({ Command: "sleep", Args: ["100000"] });
  task.ServiceAnnotations = { Name: "web", Labels: {} };
  const controller = await executor.controller(task);
  try {
    await controller.prepare(never);
    await controller.start(never);
    const tries = async (use: StreamUse) => {
      try {
        for await (
          const _ of executor.enter({ task, handle: controller.handle()! }, use, nothing(), never)
        ) { /* all of it */ }
        return "done";
      } catch (thrown) {
        return (thrown as Error).message;
      }
    };
    await test({ list, allow, shim, tries });
  } finally {
    await controller.remove(never);
    await controller.close();
    await executor.close();
    await world.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("Enter: the device's list says what is let in, and an empty one lets nothing in", () =>
  withList(async ({ list, shim, tries }) => {
    assert.equal(await tries(EXEC), "done");
    assert.match(await tries(FORWARD), /no program of it listens at port 80/);
    for (
      const [text, exec, copy, forward] of [
        ["", false, false, false],
        ["exec web\n", true, false, false],
        ["# all of it\ncopy *\nforward w?b", false, true, true],
        ["exec other\nexec webs\n", false, false, false],
      ] as const
    ) {
      await Deno.writeTextFile(list, text);
      const refused = (kind: string) => new RegExp(`${kind} into tasks of web is not let in by .*exec$`);
      assert.match(await tries(EXEC), exec ? /^done$/ : refused("exec"), text);
      assert.match(await tries(COPY), copy ? /^done$/ : refused("copy"), text);
      assert.match(await tries(FORWARD), forward ? /listens at port/ : refused("forward"), text);
      // What the executor of containers asks.
      assert.equal((await askShim(shim, ["may", "exec", "web"])).startsWith("let in"), exec, text);
    }
    await Deno.writeTextFile(list, "exec web\n");
    await Deno.chmod(list, 0o666);
    assert.match(await tries(EXEC), /as others than root may write/);
    assert.match(await askShim(shim, ["may", "anything", "web"]), /^refused no kind of thing/);
  }));

Deno.test("Enter: with a list of programs, a command is one of these, and copying goes on", () =>
  withList(async ({ allow, tries }) => {
    await Deno.writeTextFile(allow, "/usr/bin/true\n/bin/true\n/usr/bin/sleep\n");
    assert.equal(await tries(EXEC), "done");
    assert.match(await tries({ Kind: "exec", Command: ["sh", "-c", "true"] }), /not allowed by .*allow/);
    assert.equal(await tries(COPY), "done");
  }));
