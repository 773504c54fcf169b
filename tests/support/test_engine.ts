/** The Docker Engine of the tests: the one that is named must be there, else any that runs at the usual place. */

const NAMED = Deno.env.get("COVEY_TEST_DOCKER") ?? "";

/** Its socket; `tests/support/engine.sh up DIR` starts one. */
export const TEST_ENGINE = NAMED || "/tmp/docker-engine/docker.sock";

/** Why no engine is used, so that a machine without one can run the rest; empty where a missing engine is a failure. */
export const NO_ENGINE = Deno.env.get("COVEY_SKIP_ENGINE") ||
  (NAMED || await answers() ? "" : `no engine runs at ${TEST_ENGINE}`);

async function answers(): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path: TEST_ENGINE })).close();
    return true;
  } catch {
    return false;
  }
}
