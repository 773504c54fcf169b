import assert from "node:assert/strict";
import { CoveyError } from "../../../../api/errors.ts";
import { inputFrames, outputFrames, readInput } from "../../../../api/stream_frames.ts";
import { upgrade } from "../../../../cli/upgrade.ts";
import { serveControlSocket } from "../../../../manager/http/mod.ts";
import { inFolder } from "../../../support/programs.ts";

const PATH = "/v1.51/tasks/t1/stream";
const encoder = new TextEncoder(), decoder = new TextDecoder();

type Open = NonNullable<Parameters<typeof serveControlSocket>[0]["openStream"]>;

async function withSocket(
  openStream: Open,
  test: (connect: () => Promise<Deno.UnixConn>) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const path = `${folder}/covey.sock`;
    const socket = await serveControlSocket({ path, fetch: () => new Response("{}"), openStream });
    try {
      await test(() => Deno.connect({ transport: "unix", path }));
    } finally {
      await socket.close();
    }
  });
}

Deno.test("Task stream: a connection becomes one of bytes, both ways, and what comes with the request counts", async () => {
  const asked: string[] = [];
  const echo: Open = (target, body, fromClient) => {
    asked.push(target, body);
    return Promise.resolve((async function* () {
      const frames = readInput({ [Symbol.asyncIterator]: () => fromClient });
      for await (const frame of frames) {
        if (frame.kind !== "input" || frame.data.length === 0) break;
        yield* outputFrames("output", frame.data);
      }
    })());
  };
  await withSocket(echo, async (connect) => {
    const answer = await upgrade(await connect(), PATH, { Kind: "exec" });
    assert.ok("connection" in answer);
    for (const text of ["one", "two", ""]) {
      for (const frame of inputFrames(encoder.encode(text))) await answer.connection.write(frame);
    }
    let text = "";
    for await (const piece of answer.pieces) text += decoder.decode(piece);
    assert.match(text, /one.*two/s);
    assert.deepEqual(asked, [PATH, '{"Kind":"exec"}']);
    answer.connection.close();
  });
});

Deno.test("Task stream: a refusal is an answer with words, and what goes wrong later is the last frame", async () => {
  let later = false;
  const fails: Open = async () => {
    await Promise.resolve();
    if (!later) throw new CoveyError("not_found", "task t1 not found");
    return (async function* () {
      yield await Promise.resolve(encoder.encode("begun "));
      throw new CoveyError("unavailable", "Cannot go on: the leader is gone");
    })();
  };
  await withSocket(fails, async (connect) => {
    const refused = await upgrade(await connect(), PATH, {});
    assert.equal(refused.status, 404);
    assert.match((refused as { text: string }).text, /task t1 not found/);
    const plain = await connect();
    await plain.write(encoder.encode(`POST ${PATH} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}`));
    const buffer = new Uint8Array(4096);
    assert.match(
      decoder.decode(buffer.subarray(0, (await plain.read(buffer))!)),
      /^HTTP\/1\.1 400 .*Upgrade: tcp/s,
    );
    plain.close();
    later = true;
    const answer = await upgrade(await connect(), PATH, {});
    assert.ok("connection" in answer);
    let text = "";
    for await (const piece of answer.pieces) text += decoder.decode(piece);
    assert.match(text, /^begun .*the leader is gone/s);
    answer.connection.close();
  });
});

Deno.test("Task stream: a client that never reads holds back the source, and one that leaves ends it", async () => {
  let taken = 0, ended = false;
  const floods: Open = (_target, _body, fromClient, signal) => {
    signal.addEventListener("abort", () => ended = true);
    return Promise.resolve((async function* () {
      for (;; taken++) {
        yield new Uint8Array(60_000);
        if (taken > 10_000) await fromClient.next();
      }
    })());
  };
  await withSocket(floods, async (connect) => {
    const answer = await upgrade(await connect(), PATH, {});
    assert.ok("connection" in answer);
    let before = -1;
    while (before !== taken) {
      before = taken;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    // What the system's socket holds, and one piece.
    assert.ok(taken * 60_000 < 4 * 1024 * 1024, `${taken} pieces ahead`);
    assert.equal(ended, false);
    answer.connection.close();
    while (!ended) await new Promise((resolve) => setTimeout(resolve, 10));
  });
});
