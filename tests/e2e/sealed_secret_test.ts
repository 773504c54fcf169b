/** A secret that is sealed by the client: a device has it, its manager holds nothing of it, and a newcomer waits for it. */
import assert from "node:assert/strict";
import type { TaskView } from "../../cli/api_types.ts";
import type { Fleet } from "../../cli/demo/fleet.ts";
import { waitNode, withFleet } from "../support/e2e.ts";
import { eventually, run } from "../support/programs.ts";
import { filesWith, processesWith } from "../support/search_bytes.ts";

async function covey(fleet: Fleet, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run("covey", fleet.socket, ...args);
  assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
  return stdout + stderr;
}

const folderOf = (fleet: Fleet) => fleet.socket.replace(/\/[^/]*$/, "");

Deno.test("Sealed secrets: a device reads it, its manager has nothing of it, a newcomer waits until it is sealed for it", () =>
  withFleet({}, async (fleet) => {
    await fleet.startManager("manager", ["--no-agent"]);
    for (const name of ["pi", "late"]) {
      await fleet.startAgent(name);
      await waitNode(fleet, name, "ready");
    }
    const key = `s3cret-${crypto.randomUUID()}`, file = await Deno.makeTempFile({ prefix: "covey-sealed-" });
    await Deno.writeTextFile(file, key);
    const none = await run("covey", fleet.socket, "secret", "create", "--seal", "site=attic", "key", file);
    assert.match(none.stderr, /no node has the label site=attic/);
    await covey(fleet, "node", "update", "--label-add", "site=attic", "pi");
    assert.match(
      await covey(fleet, "secret", "create", "--seal", "site=attic", "key", file),
      /^\w+\nsealed for pi, key \w{16}\n$/,
    );
    const script = 'cat "$COVEY_SECRETS_DIR/key" | sha256sum; exec sleep 100000';
    const service = ["--name", "app", "--mode", "global", "--executor", "process", "--secret", "key"];
    await covey(
      fleet,
      "service",
      "create",
      "-d",
      ...service,
      "--constraint",
      "node.labels.site==attic",
      "/bin/sh",
      "-c",
      script,
    );
    const tasks = () => fleet.client.get<TaskView[]>("/tasks", { filters: { "desired-state": ["running"] } });
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key)))
      .toHex();
    const hasIt = (name: string) =>
      eventually(`${name} has it`, async () => {
        const logs = `${folderOf(fleet)}/${name}/process/logs`;
        for await (const entry of Deno.readDir(logs)) {
          if ((await Deno.readTextFile(`${logs}/${entry.name}`)).includes(digest)) return true;
        }
        return false;
      });
    await hasIt("pi");
    const hidden = async () => {
      for (const place of ["manager", "pi", "late"]) {
        assert.deepEqual(await filesWith(`${folderOf(fleet)}/${place}`, key), [], place);
      }
      for (const log of ["manager", "pi", "late"]) assert.ok(!(await fleet.log(log)).includes(key));
      assert.deepEqual(await processesWith(key), []);
    };
    await hidden();
    // One that gets the label later has to wait for somebody who knows the secret.
    await covey(fleet, "node", "update", "--label-add", "site=attic", "late");
    await eventually(
      "it says why it waits",
      async () => (await tasks()).some(({ Status }) => Status.Err === "secret key is not sealed for 1 node"),
    );
    assert.match(
      await covey(fleet, "secret", "seal", "key", file),
      /sealed for (?:pi|late)[^]*sealed for (?:pi|late)/,
    );
    await hasIt("late");
    assert.equal((await fleet.client.get<unknown[]>("/secrets/key/seals")).length, 2);
    // A new version is sealed for all of them, and rolled out.
    await Deno.writeTextFile(file, `${key}-2`);
    const { code, stderr } = await run("docker", fleet.socket, "secret", "inspect", "key");
    assert.equal(code, 0, stderr);
    assert.match(await covey(fleet, "secret", "update", "key", file), /app is being updated/);
    await eventually("both have the new one", async () => {
      const found = await tasks(), { ID } = await fleet.client.get<{ ID: string }>("/secrets/key");
      const uses = (task: TaskView) => task.Spec.ProcessSpec!.Secrets![0]!.SecretID === ID;
      return found.length === 2 && found.every((task) => uses(task) && task.Status.State === "running");
    });
    await hidden();
    await Deno.remove(file);
  }));
