import assert from "node:assert/strict";
import { START_AGAIN } from "../../../api/parent.ts";
import { AgentProcess } from "../../../manager/process/agent_process.ts";
import { FakeClock, settle } from "../../support/fake_clock.ts";

Deno.test("Agent process: a launcher that cannot be run is tried again, and ends nothing else", async () => {
  const clock = new FakeClock();
  let tries = 0;
  const options = {
    get launcher() {
      tries++;
      return "/nowhere/covey-agent";
    },
    args: [],
    env: {},
    clock,
  };
  const agent = new AgentProcess(options);
  agent.start();
  await settle();
  const first = tries;
  assert.ok(first > 0);
  await clock.advance(500);
  await settle();
  assert.ok(tries > first);
  await agent.stop({ leave: false });
});

/** An agent that notes its flags and what it is told, and ends with its standard input. */
const AGENT = `#!/bin/sh
echo "flags $*" >>"$NOTES"
while read -r line; do echo "told $line" >>"$NOTES"; done
echo ended >>"$NOTES"
`;

Deno.test("Agent process: one that is told to start again twice is started once, and its end is waited for once", async () => {
  const folder = await Deno.makeTempDir(), notes = `${folder}/notes`, launcher = `${folder}/agent`;
  await Deno.writeTextFile(launcher, AGENT, { mode: 0o755 });
  const clock = new FakeClock();
  const agent = new AgentProcess({ launcher, args: ["a"], env: { NOTES: notes }, clock });
  const says = async (...lines: string[]) => {
    while (await Deno.readTextFile(notes).catch(() => "") !== lines.map((line) => `${line}\n`).join("")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  agent.start();
  const first = "flags a --exit-with-parent";
  await says(first);
  for (const key of [new Uint8Array(32), undefined]) agent.useIdentityKey(key);
  await says(first, "ended", first);
  await clock.advance(60_000);
  await agent.stop({ leave: true });
  await says(first, "ended", first, "told leave", "ended");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("Agent process: the key of sealed private keys is handed over on the pipe, and anew when it changes", async () => {
  const folder = await Deno.makeTempDir(), notes = `${folder}/notes`, launcher = `${folder}/agent`;
  await Deno.writeTextFile(launcher, AGENT, { mode: 0o755 });
  const identityKey = new Uint8Array(32).fill(7), other = new Uint8Array(32).fill(9);
  const clock = new FakeClock();
  const agent = new AgentProcess({ launcher, args: ["a"], env: { NOTES: notes }, clock, identityKey });
  const says = async (...lines: string[]) => {
    while (await Deno.readTextFile(notes).catch(() => "") !== lines.map((line) => `${line}\n`).join("")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  agent.start();
  const first = ["flags a --identity-sealed --exit-with-parent", `told ${identityKey.toBase64()}`];
  await says(...first);
  agent.useIdentityKey(other);
  const second = ["ended", first[0]!, `told ${other.toBase64()}`];
  await says(...first, ...second);
  agent.useIdentityKey(undefined);
  const third = ["ended", "flags a --exit-with-parent"];
  await says(...first, ...second, ...third);
  await agent.stop({ leave: true });
  await says(...first, ...second, ...third, "told leave", "ended");
  await Deno.remove(folder, { recursive: true });
});

Deno.test("Agent process: one that asks to be started again is started at once, and one that did when it was to leave leaves", async () => {
  const folder = await Deno.makeTempDir(), notes = `${folder}/notes`, launcher = `${folder}/agent`;
  // It asks where one file is there, and where the other is when it is told something, which it forgets.
  const script = `#!/bin/sh
echo started >>"$NOTES"
[ ! -e "$NOTES.again" ] || { rm "$NOTES.again"; exit ${START_AGAIN}; }
while read -r line; do
  [ ! -e "$NOTES.deaf" ] || { rm "$NOTES.deaf"; exit ${START_AGAIN}; }
  echo "told $line" >>"$NOTES"
done
`;
  await Deno.writeTextFile(launcher, script, { mode: 0o755 });
  await Deno.writeTextFile(`${notes}.again`, "");
  const clock = new FakeClock();
  const agent = new AgentProcess({ launcher, args: [], env: { NOTES: notes }, clock });
  const says = async (...lines: string[]) => {
    while (await Deno.readTextFile(notes).catch(() => "") !== lines.map((line) => `${line}\n`).join("")) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  agent.start();
  await says("started", "started");
  await Deno.writeTextFile(`${notes}.deaf`, "");
  await agent.stop({ leave: true });
  await says("started", "started", "started", "told leave");
  await Deno.remove(folder, { recursive: true });
});
