/** dockerode, the Docker client of Node programs: what it sends and reads of services, tasks and events. */
import assert from "node:assert/strict";
import { withManager } from "../support/one_manager.ts";

Deno.test("dockerode: creates, updates, lists, inspects and removes a service, and hears of each", () =>
  withManager(async ({ socket }) => {
    const here = `${import.meta.dirname}/dockerode`;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--check",
        "--quiet",
        "--config",
        `${here}/deno.json`,
        `${here}/session.ts`,
        socket,
      ],
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const seen = JSON.parse(new TextDecoder().decode(stdout));
    assert.deepEqual(seen.before.Mode, { Replicated: { Replicas: 2 } });
    assert.deepEqual(seen.after, { ...seen.before, Labels: {} }, "an update of labels leaves the rest");
    assert.deepEqual([seen.label, seen.newer], [100_000, true]);
    assert.deepEqual([seen.listed, seen.taskOf], [[seen.id], seen.id]);
    assert.deepEqual([seen.tasks, seen.nodes], [2, 1]);
    assert.deepEqual(seen.refused, [409, 404]);
    assert.deepEqual(seen.actions, ["create", "update", "remove"]);
  }));
