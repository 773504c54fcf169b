import assert from "node:assert/strict";
import { systemClock } from "../../../api/clock.ts";
import type { FromTask, InputFrame } from "../../../api/stream_frames.ts";
import type { ExecUse } from "../../../api/streams.ts";
import { EngineClient } from "../../../executors/docker/engine_client.ts";
import { execInContainer } from "../../../executors/docker/enter_container.ts";

const encoder = new TextEncoder(), decoder = new TextDecoder();

/** What the engine says of the command, one after the other, the last one for good. */
type Said = { Running: boolean; Pid: number; ExitCode: number | null }[];

/** An engine with one container and one command, which prints `here` and goes on where `stays`. */
async function withCommand(
  said: Said,
  stays: boolean,
  use: (at: { engine: EngineClient; shim: string; struck: () => string }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "covey-engine-" });
  const path = `${folder}/docker.sock`, shim = `${folder}/shim`, notes = `${folder}/notes`;
  await Deno.writeTextFile(shim, `#!/bin/sh\necho "$@" >>${notes}\n`, { mode: 0o755 });
  await Deno.writeTextFile(notes, "");
  const listener = Deno.listen({ transport: "unix", path });
  const json = (value: unknown) => {
    const text = JSON.stringify(value);
    return `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`;
  };
  const serve = async (connection: Deno.Conn) => {
    using _ = connection;
    const bytes = new Uint8Array(4096),
      head = decoder.decode(bytes.subarray(0, (await connection.read(bytes))!));
    const answer = async (text: string) => void await connection.write(encoder.encode(text));
    if (head.includes("/start ")) {
      // The body may come in a piece of its own.
      if (!head.includes("}")) await connection.read(bytes);
      await answer(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n\x01\0\0\0\0\0\0\x05here\n",
      );
      if (stays) await connection.read(bytes);
    } else if (head.includes("/json ")) await answer(json(said.length > 1 ? said.shift() : said[0]));
    else await answer(json({ Id: "exec" }));
  };
  const serving = (async () => {
    for await (const connection of listener) void serve(connection).catch(() => {});
  })();
  const engine = new EngineClient(path);
  try {
    await use({ engine, shim, struck: () => Deno.readTextFileSync(notes) });
  } finally {
    engine.close();
    listener.close();
    await serving;
    await Deno.remove(folder, { recursive: true });
  }
}

const command: ExecUse = { Kind: "exec", Command: ["sleep", "1"] }, containerID = "c0ffee";

async function* noInput(): AsyncGenerator<InputFrame> {}

Deno.test("Docker: a command that is left is ended, though the engine knows of its process only later", () => {
  const unknown = { Running: true, Pid: 0, ExitCode: null };
  return withCommand(
    [unknown, unknown, { ...unknown, Pid: 4242 }],
    true,
    async ({ engine, shim, struck }) => {
      const left = new AbortController();
      const at = { engine, shim, clock: systemClock, containerID };
      const frames = execInContainer(at, command, noInput(), left.signal);
      await frames.next();
      await frames.next();
      left.abort(new Error("left"));
      await assert.rejects(frames.next(), /left/);
      assert.equal(struck(), "strike c0ffee 4242 KILL\n");
    },
  );
});

Deno.test("Docker: a command's exit code is waited for, though all that it prints is there before", () => {
  const runs = { Running: true, Pid: 4242, ExitCode: null };
  return withCommand(
    [runs, runs, { Running: false, Pid: 0, ExitCode: 7 }],
    false,
    async ({ engine, shim }) => {
      const said: FromTask[] = [], never = new AbortController().signal;
      const at = { engine, shim, clock: systemClock, containerID };
      for await (const frame of execInContainer(at, command, noInput(), never)) {
        if (frame.kind === "control") said.push(frame.control);
      }
      assert.deepEqual(said, [{ Started: true }, { Exit: { Code: 7 } }]);
    },
  );
});
