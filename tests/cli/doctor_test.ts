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
