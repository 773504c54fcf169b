import assert from "node:assert/strict";
import { MembershipFile, type NodeMembership } from "../../../manager/process/membership_file.ts";

const MEMBERSHIP: NodeMembership = {
  nodeID: "n",
  clusterID: "c",
  role: "manager",
  listen: "0.0.0.0:2377",
  advertise: "10.0.0.1:2377",
  managers: ["10.0.0.1:2377"],
  availability: "active",
};

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("Node state: a membership reads back, readable by its owner only, and a wipe forgets it", () =>
  inFolder(async (folder) => {
    const state = new MembershipFile(folder);
    assert.equal(await state.load(), undefined);
    await state.save(MEMBERSHIP);
    assert.deepEqual(await state.load(), MEMBERSHIP);
    assert.equal((await Deno.stat(`${folder}/node.json`)).mode! & 0o777, 0o600);
    await state.wipe();
    assert.equal(await state.load(), undefined);
  }));

Deno.test("Node state: a damaged or foreign file is refused with its path, never taken as empty", () =>
  inFolder(async (folder) => {
    const state = new MembershipFile(folder);
    for (const text of ["", "{", '{"format": 2}']) {
      await Deno.writeTextFile(`${folder}/node.json`, text);
      await assert.rejects(state.load(), {
        code: "data_loss",
        message: new RegExp(`Cannot read ${folder}/node.json`),
      });
    }
  }));
