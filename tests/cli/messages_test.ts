/** What `covey` says while it waits, when it is stopped, and when nobody answers. */
import assert from "node:assert/strict";
import { ControlClient } from "../../cli/client.ts";
import { runCovey } from "../../cli/program.ts";

interface Server {
  host: string;
  [Symbol.asyncDispose](): Promise<void>;
}

async function serve(answer: (path: string) => Response | Promise<Response>): Promise<Server> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/covey.sock`;
  const server = Deno.serve({ path, onListen() {} }, (request) => answer(new URL(request.url).pathname));
  return {
    host: `unix://${path}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function covey(args: string[], signal = new AbortController().signal) {
  let shown = "", noted = "";
  const code = await runCovey(args, {
    env: () => undefined,
    signal,
    output: {
      write: (text) => void (shown += text),
      note: (text) => void (noted += text),
      interactive: false,
      nowMs: () => 0,
    },
  });
  return { code, shown, noted };
}

const refusal = (status: number, message: string) => Response.json({ message }, { status });

Deno.test("covey: an answer that takes its time is announced, once", async () => {
  const slow = Promise.withResolvers<void>();
  await using server = await serve(() => slow.promise.then(() => Response.json([])));
  let told = 0;
  const client = new ControlClient(server.host, {
    slowMs: 1,
    onSlow() {
      told++;
      slow.resolve();
    },
  });
  await client.get("/nodes");
  await client.get("/nodes");
  client.close();
  assert.equal(told, 1);
});

Deno.test("covey: Ctrl-C ends a command that waits for an answer, and says what that means", async () => {
  const stopped = new AbortController(), over = Promise.withResolvers<Response>();
  await using server = await serve(() => {
    stopped.abort();
    return over.promise;
  });
  const { code, noted } = await covey(["-H", server.host, "node", "ls"], stopped.signal);
  over.resolve(new Response());
  assert.equal(code, 130);
  assert.equal(noted, "covey: Ended by Ctrl-C; what was asked for may happen all the same\n");
});

Deno.test("covey: several failures are told in the order of what was named", async () => {
  await using server = await serve((path) => refusal(404, `${path.split("/").at(-1)} not found`));
  const { code, noted } = await covey(["-H", server.host, "service", "rm", "one", "two"]);
  assert.equal(noted, "covey: one not found\ncovey: two not found\n");
  assert.equal(code, 1);
});

Deno.test("covey: what Docker's texts tell to type is told for this command", async () => {
  await using server = await serve(() => refusal(503, 'Use "docker swarm init" or "docker swarm join".'));
  const { noted } = await covey(["-H", server.host, "node", "ls"]);
  assert.equal(noted, 'covey: Use "covey swarm init" or "covey swarm join".\n');
});

Deno.test("covey: nodes are listed by name, numbers in them by their size", async () => {
  const node = (Hostname: string) => ({
    ID: `id-of-${Hostname}`,
    Description: { Hostname },
    Status: { State: "ready" },
    Spec: { Availability: "active" },
  });
  await using server = await serve((path) =>
    Response.json(path.endsWith("/info") ? { Swarm: {} } : [node("pi-10"), node("pi-2")])
  );
  const { shown } = await covey(["-H", server.host, "node", "ls", "-q"]);
  assert.equal(shown, "id-of-pi-2\nid-of-pi-10\n");
});

Deno.test("covey: a socket that is not there, or a file that is not, is named with what to do", async () => {
  const { code, noted } = await covey(["-H", "/nonesuch.sock", "node", "ls"]);
  assert.equal(code, 3);
  assert.match(
    noted,
    /at \/nonesuch\.sock: No such file .*; is it running\? .*covey\.sock in its state folder/,
  );
  const flags = ["-H", "/nonesuch.sock", "backup", "-o", "/nonesuch/x"];
  const passphrase = await covey([...flags, "--passphrase-file", "/nonesuch/p"]);
  assert.match(
    passphrase.noted,
    /^covey: Cannot read the passphrase file \/nonesuch\/p: No such file [^:]*$/,
  );
  assert.match(
    (await covey(flags)).noted,
    /^covey: Cannot write the backup \/nonesuch\/x: No such file [^:]*$/,
  );
});

Deno.test("covey: tells its version", async () => {
  const { code, shown } = await covey(["--version"]);
  assert.match(shown, /^covey \d+\.\d+\.\d+\n$/);
  assert.equal(code, 0);
});

Deno.test("covey: a refusal of what cannot help to ask again ends otherwise than a manager that cannot answer", async () => {
  const answer = (reason?: string) => Response.json({ message: "as you like it", reason }, { status: 503 });
  const exits: number[] = [];
  for (const reason of ["wrong_state", "made_up", undefined]) {
    await using server = await serve(() => answer(reason));
    exits.push((await covey(["-H", server.host, "node", "ls"])).code);
  }
  assert.deepEqual(exits, [1, 3, 3]);
});
