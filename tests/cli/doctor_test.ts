import assert from "node:assert/strict";
import { diagnose } from "../../cli/doctor.ts";

Deno.test("Doctor: an engine that is not wanted is not looked for, one that is and is not there is named", async () => {
  const look = async (dockerSocket: string) => {
    const findings = await diagnose({ dockerSocket, stateDir: "/", join: [], nowMs: Date.now() });
    const { level, found } = findings.find(({ check }) => check === "docker")!;
    return `${level}: ${found}`;
  };
  assert.equal(await look("none"), "ok: not used: --docker none");
  assert.match(await look("/no/docker.sock"), /^warn: no engine at \/no\/docker.sock: /);
});

Deno.test("Doctor: says who runs tasks that name no user, and what that means where it is the agent's own", async () => {
  const findings = await diagnose({ dockerSocket: "none", stateDir: "/", join: [], nowMs: Date.now() });
  const { level, found, remedy } = findings.find(({ check }) => check === "task user")!;
  if (Deno.uid() === 0) return assert.equal(`${level}: ${found}`, "ok: own");
  assert.equal(`${level}: ${found}`, "warn: agent");
  assert.match(remedy!, /can read its key/);
});
