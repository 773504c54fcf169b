/** What a device says of itself for placement. */
import assert from "node:assert/strict";
import { defaultShim } from "../../../executors/default_shim.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import { parseFacts } from "../../../executors/process/shim.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { copyShim } from "./hostile_agent.ts";

Deno.test("Facts: lines of a name and a value; a fact may have several, and what no constraint can name is left out", () => {
  const text = "kernel 6.1.21-v8+\nmodel Raspberry Pi 4 \ndev /dev/ttyUSB0\ndev /dev/video0\n" +
    "model2 x\nmodel \u001b[31m\nmodel\nnothing\n__proto__ x\n" + `model ${"x".repeat(300)}\n`;
  assert.deepEqual(parseFacts(text), {
    kernel: ["6.1.21-v8+"],
    model: ["Raspberry Pi 4"],
    dev: ["/dev/ttyUSB0", "/dev/video0"],
  });
  const many = parseFacts(Array.from({ length: 1000 }, (_, i) => `dev /dev/d${i}\n`).join(""));
  assert.equal(many.dev!.length, 256);
});

Deno.test("shim.sh facts: tells the kernel and devices, not what every kernel has", async () => {
  const { stdout } = await new Deno.Command(defaultShim(), { args: ["facts"], clearEnv: true }).output();
  const facts = parseFacts(new TextDecoder().decode(stdout));
  assert.deepEqual(facts.kernel, [Deno.osRelease()]);
  for (const path of facts.dev ?? []) {
    assert.match(path, /^\/dev\/(?!null|zero|tty\d*$|loop|ram\d|vcs|std|pts)/);
  }
});

Deno.test("Process executor: tells facts, and looks again once a minute", async () => {
  const folder = await Deno.makeTempDir();
  const tells = async (line: string) => {
    const text = `is_own_device() { :; }\ntell_facts() { echo "dev ${line}"; }\n`;
    await Deno.writeTextFile(`${folder}/shim_facts.sh`, text);
  };
  const shim = await copyShim(folder), clock = new FakeClock();
  await tells("/dev/a");
  const executor = await createProcessExecutor({ stateDir: `${folder}/state`, nodeID: "n" }, { shim, clock });
  const dev = async () => (await executor.describe(new AbortController().signal)).Facts?.dev;
  assert.deepEqual(await dev(), ["/dev/a"]);
  await tells("/dev/b");
  await clock.advance(59_000);
  assert.deepEqual(await dev(), ["/dev/a"]);
  await clock.advance(1000);
  assert.deepEqual(await dev(), ["/dev/b"]);
  await executor.close();
  await Deno.remove(folder, { recursive: true });
});
