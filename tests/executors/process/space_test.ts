/** Programs that are in networks of the cluster, as the shim has them enter the namespace that was made for their task. */
import assert from "node:assert/strict";
import type { OverlayNetworks } from "../../../executors/overlay_networks.ts";
import { createProcessExecutor } from "../../../executors/process/process_executor.ts";
import type { ProcessSpec } from "../../../api/service.ts";
import { processTask } from "../../conformance/process_fixture.ts";
import { NODE_ID } from "../../conformance/tasks.ts";
import { ask, copyShim, runLines, shell, stateFolder } from "./hostile_agent.ts";

const never = new AbortController().signal;
const isRoot = Deno.uid() === 0;
/** The node by which the namespaces of these tests are called. */
const NODE = `test${crypto.randomUUID().slice(0, 8)}`;

async function command(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!success) throw new Error(`Cannot run ${program} ${args.join(" ")}: ${err}`);
  return out!;
}

/** Runs a program of a task in networks to its end, in a namespace with nothing but a loopback; its exit code and output. */
async function ran(spec: ProcessSpec): Promise<string> {
  const folder = await Deno.makeTempDir({ dir: "/var/lib", prefix: "covey-space-" });
  await Deno.chmod(folder, 0o711);
  const names = `${folder}/names`, stateDir = `${folder}/state`, asked: string[] = [];
  await Deno.mkdir(names, { mode: 0o755 });
  await Deno.mkdir(stateDir, { mode: 0o711 });
  const shim = await copyShim(folder, (text) => text.replace("NAMES=/run/covey-names", `NAMES=${names}`));
  const networks: OverlayNetworks = {
    check: () => Promise.resolve(),
    ready: () => Promise.reject(new Error("not asked for")),
    join: async ({ ID }) => {
      asked.push("join");
      await command("ip", "netns", "add", `covey-${NODE}-${ID}`);
      await Deno.writeTextFile(`${names}/covey-${NODE}-${ID}`, "nameserver 192.0.2.53\n");
      return NODE;
    },
    resume: () => {},
    entered: () => {},
    drained: (id) => {
      asked.push(`drained ${id}`);
      return Promise.resolve();
    },
    part: async (id) => {
      asked.push("part");
      await command("ip", "netns", "del", `covey-${NODE}-${id}`);
    },
  };
  const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID, networks }, { shim });
  try {
    const task = {
      ...processTask(spec),
      NetworkAttachments: [{ NetworkID: "n", Addresses: ["10.0.1.5/24"] }],
    };
    const controller = await executor.controller(task);
    await controller.start(never);
    const { ExitCode } = await controller.wait(never);
    const output = await Deno.readTextFile(`${stateDir}/logs/${task.ID}.log`);
    await controller.remove(never);
    assert.deepEqual(asked, ["join", "part"]);
    return `${ExitCode} ${output}`;
  } finally {
    await executor.close();
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "Space: a program in networks has those and their names alone, and no more rights than any other",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const host = await Deno.readTextFile("/etc/resolv.conf").catch(() => "");
    const script =
      "ip -br link | cut -d ' ' -f 1; cat /etc/resolv.conf; id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status; " +
      "nsenter --net=/proc/1/ns/net true && echo LEFT; ip link add try type dummy && echo MADE; readlink /proc/self/ns/net; pwd";
    for (const more of [{}, { PrivateTmp: true, ReadOnly: true }]) {
      const output = await ran(shell(script, more));
      assert.match(
        output,
        /^0 lo\nnameserver 192\.0\.2\.53\n1879\d{6}\nCapEff:\t0+\nNoNewPrivs:\t1\n/,
        output,
      );
      assert.doesNotMatch(output, /LEFT|MADE/);
      assert.ok(!output.includes(await Deno.readLink("/proc/self/ns/net")), "it is in no other's network");
      assert.match(output, /\/state\/tasks\/\S+\n$/);
    }
    assert.equal(await Deno.readTextFile("/etc/resolv.conf").catch(() => ""), host);
  },
});

Deno.test({
  name: "Space: an agent that was taken over enters no namespace but those that were made for its tasks",
  ignore: !isRoot, // somebody else enters none at all
  fn: async () => {
    await command("ip", "netns", "add", `covey-${NODE}`);
    try {
      const answers: [string, RegExp][] = [
        [NODE, /refused Networks the task is not in its networks/],
        ["../netns/x", /refused request no ID of a node/],
        [`${NODE}-a`, /refused request no ID of a node/],
        ["$(id)", /refused request no ID of a node/],
        ["other", /refused Networks the task is not in its networks/],
      ];
      for (const [node, words] of answers) {
        const stateDir = await stateFolder();
        assert.match(await ask(stateDir, runLines({ id: "t", command: "true", node })), words, node);
        await Deno.remove(stateDir, { recursive: true });
      }
    } finally {
      await command("ip", "netns", "del", `covey-${NODE}`);
    }
  },
});

Deno.test("Space: a node whose agent has no networks says so, and starts nothing that needs one", async () => {
  const stateDir = await Deno.makeTempDir();
  const executor = await createProcessExecutor({ stateDir, nodeID: NODE_ID });
  try {
    const words = /started without networks/;
    await assert.rejects(
      (executor as unknown as { checkOverlay(signal: AbortSignal): Promise<void> }).checkOverlay(never),
      words,
    );
    const task = {
      ...processTask(shell("true")),
      NetworkAttachments: [{ NetworkID: "n", Addresses: ["10.0.1.5/24"] }],
    };
    const controller = await executor.controller(task);
    await assert.rejects(controller.start(never), words);
    await controller.remove(never);
  } finally {
    await executor.close();
    await Deno.remove(stateDir, { recursive: true });
  }
});
