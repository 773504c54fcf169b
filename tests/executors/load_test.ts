import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { loadExecutors } from "../../executors/load.ts";

const timer = fileURLToPath(new URL("../../examples/executor/timer.ts", import.meta.url));

/** What every executor has. */
const METHODS = "describe() {}, controller() {}, recover() {}, close() {}";

async function inFolder(run: (stateDir: string) => Promise<void>) {
  const stateDir = await Deno.makeTempDir({ prefix: "covey-load-" });
  try {
    await run(stateDir);
  } finally {
    await Deno.remove(stateDir, { recursive: true });
  }
}

Deno.test("Load: the executors that were chosen are there by their runtime", () =>
  inFolder(async (stateDir) => {
    const choice = { docker: "/nonexistent/docker.sock", process: {}, modules: [timer] };
    const executors = await loadExecutors(choice, { stateDir, nodeID: "node" });
    assert.deepEqual([...executors.keys()], ["container", "process", "deno", "timer"]);
    for (const executor of executors.values()) await executor.close();
    const none = await loadExecutors({ docker: "none", process: false, modules: [] }, {
      stateDir,
      nodeID: "node",
    });
    assert.equal(none.size, 0);
  }));

Deno.test("Load: a module that is no executor is refused by name", () =>
  inFolder(async (stateDir) => {
    const load = (...modules: string[]) =>
      loadExecutors({ docker: "none", process: {}, modules }, { stateDir, nodeID: "node" });
    const data = (source: string) => `data:text/javascript,${encodeURIComponent(source)}`;
    const cases: [string[], RegExp][] = [
      [["/no/such/module.ts"], /^CoveyError: Cannot load executor \/no\/such\/module.ts: Module not found/],
      [[data("export default 1")], /its default export is not a function$/],
      [[data("export default () => ({ runtime: 'x', describe() {} })")], /without controller recover close/],
      [[data("export default () => undefined")], /it makes no executor/],
      [
        [data(`export default () => ({ runtime: 'xyz', capabilities: ["sweep"], ${METHODS} })`)],
        /names the capability sweep without sweep$/,
      ],
      [[data(`export default () => ({ runtime: "a\\nb", ${METHODS} })`)], /runtime "a\\nb" is no word/],
      [[timer, timer], /runtime timer is served by timer already$/],
    ];
    for (const [modules, message] of cases) await assert.rejects(load(...modules), message);
  }));
