/** The bundle that devices are installed from, made and served as an operator would. */
import assert from "node:assert/strict";
import { ROOT } from "./programs.ts";

/** Makes a bundle in `folder`; `flags` are those of `install/bundle.sh`. Returns its file. */
export async function makeBundle(folder: string, ...flags: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(`${ROOT}install/bundle.sh`, {
    args: ["--out", folder, ...flags],
    env: { COVEY_DENO: Deno.execPath() },
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

/** Serves the files of a folder on a loopback port. */
export function serveFolder(folder: string): { port: number; stop: () => Promise<void> } {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const name = new URL(request.url).pathname.slice(1);
    if (name.includes("/")) return new Response("no", { status: 404 });
    const file = await Deno.open(`${folder}/${name}`).catch(() => undefined);
    return file ? new Response(file.readable) : new Response("no", { status: 404 });
  });
  return { port: server.addr.port, stop: () => server.shutdown() };
}
