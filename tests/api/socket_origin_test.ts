/** What is asked over a Unix socket asks no name server, as the system calls show: each of our clients, in a program of its own. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { canTrace } from "../support/strace.ts";

const at = (path: string) => new URL(`../../${path}`, import.meta.url).href;

const CLIENTS: Record<string, string> = {
  "the command line": `
    const { ControlClient } = await import("${at("cli/client.ts")}");
    const client = new ControlClient(socket);
    await client.get("/version");
    client.close();`,
  "a manager that asks its engine": `
    const { connectEngine } = await import("${at("manager/http/engine.ts")}");
    const { systemClock } = await import("${at("api/clock.ts")}");
    const engine = connectEngine(socket, systemClock);
    await engine.target("/version");
    engine.close();`,
};

for (const [who, script] of Object.entries(CLIENTS)) {
  Deno.test({
    name: `Sockets: ${who} looks up no name to ask over one`,
    ignore: !await canTrace(), // strace is not there, or not allowed
    fn: async () => {
      const folder = await Deno.makeTempDir({ prefix: "covey-socket-" }), socket = `${folder}/s.sock`;
      let asked = 0;
      const server = Deno.serve({ path: socket, onListen() {} }, () => {
        asked++;
        return Response.json({ ApiVersion: "1.51", MinAPIVersion: "1.24" });
      });
      await Deno.writeTextFile(
        `${folder}/ask.ts`,
        `const socket = "${socket}";\n${script}\n// Time for whoever looks names up in the background.\nawait new Promise((end) => setTimeout(end, 300));\n`,
      );
      const { success, stderr } = await new Deno.Command("strace", {
        // Deno itself asks for news of itself.
        env: { DENO_NO_UPDATE_CHECK: "1" },
        args: [
          ...["-f", "-o", `${folder}/trace`, "-e", "trace=openat,connect"],
          ...[Deno.execPath(), "run", "-A", "--quiet", "--cached-only"],
          ...["--config", fileURLToPath(at("deno.json")), `${folder}/ask.ts`],
        ],
      }).output();
      assert.ok(success, new TextDecoder().decode(stderr));
      assert.ok(asked > 0);
      const trace = await Deno.readTextFile(`${folder}/trace`);
      assert.deepEqual(trace.split("\n").filter((line) => /resolv\.conf|htons\(53\)/.test(line)), []);
      await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    },
  });
}
