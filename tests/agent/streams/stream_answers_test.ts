/** Streams into tasks on the agent's side: what a manager passes on is anybody's. */
import assert from "node:assert/strict";
import {
  type FromTask,
  inputFrames,
  type OutputFrame,
  readOutput,
  toTask,
} from "../../../api/stream_frames.ts";
import { MAX_STREAM_PIECE_BYTES, MAX_STREAMS_PER_NODE, type StreamAsk } from "../../../api/streams.ts";
import type { Task } from "../../../api/task.ts";
import { type OpenStream, StreamAnswers } from "../../../agent/streams/stream_answers.ts";
import type { TaskAccess } from "../../../agent/worker.ts";
import type { Executor, TaskEnterer } from "../../../executors/executor.ts";
import { settle } from "../../support/fake_clock.ts";
import { until } from "../../support/transport.ts";

const ASK: StreamAsk = { Kind: "stream", ID: "s1", TaskID: "t1", Use: { Kind: "exec", Command: ["cat"] } };

/** A device with one task, whose inside gives back what is put in. */
class Device {
  over = false;
  ended = 0;
  opened: string[] = [];
  readonly answers: StreamAnswers;
  #wake = () => {};

  constructor(enters = true) {
    const onEnd = () => this.ended++;
    const echo: TaskEnterer["enter"] = async function* (
      _at,
      _use,
      input,
      signal,
    ): AsyncGenerator<OutputFrame> {
      const aborted = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => aborted.reject(signal.reason));
      aborted.promise.catch(() => {});
      const frames = input[Symbol.asyncIterator]();
      try {
        yield { kind: "control", control: { Started: true } };
        while (true) {
          const next = await Promise.race([frames.next(), aborted.promise]);
          if (next.done) return;
          if (next.value.kind === "input") yield { kind: "output", data: next.value.data };
        }
      } finally {
        onEnd();
      }
    };
    const executor = {
      name: "echo",
      capabilities: enters ? ["enter"] : [],
      enter: echo,
    } as unknown as Executor;
    const access = (): TaskAccess => ({
      executor,
      handle: { version: 1, data: {} },
      over: this.over,
      task: () => Promise.resolve({ ID: "t1" } as Task),
    });
    this.answers = new StreamAnswers({
      access: (id) => id === "t1" ? access() : undefined,
      watch: (_id, wake) => {
        this.#wake = wake;
        return () => {};
      },
    });
  }

  end(): void {
    this.over = true;
    this.#wake();
  }

  /** A session in which a manager sends `pieces`, and then nothing; resolves with what it is sent. */
  session(
    pieces: unknown[],
    hold = true,
  ): { said: () => FromTask[]; printed: () => string; leave: () => void } {
    const frames: OutputFrame[] = [], left = Promise.withResolvers<void>();
    const open: OpenStream = (id, toManager) => {
      this.opened.push(id);
      const source = toManager[Symbol.asyncIterator]();
      void (async () => {
        for await (const frame of readOutput({ [Symbol.asyncIterator]: () => source })) frames.push(frame);
      })();
      void left.promise.then(() => source.return?.());
      return (async function* () {
        yield* pieces;
        if (hold) await left.promise;
      })();
    };
    this.answers.connect(open);
    return {
      said: () => frames.flatMap((frame) => frame.kind === "control" ? [frame.control] : []),
      printed: () =>
        frames.map((frame) => frame.kind === "control" ? "" : new TextDecoder().decode(frame.data)).join(""),
      leave: () => left.resolve(),
    };
  }
}

const text = (what: string) => [...inputFrames(new TextEncoder().encode(what))];

Deno.test("Streams: an ask is answered once, however often it is said, and over when the client leaves", async () => {
  const device = new Device(), session = device.session(text("hello"));
  for (let i = 0; i < 3; i++) device.answers.apply([ASK]);
  await until(() => session.printed() === "hello");
  assert.deepEqual(device.opened, ["s1"]);
  device.answers.apply([]);
  assert.equal(device.answers.size, 1, "it is open, whatever is asked");
  session.leave();
  await until(() => device.ended === 1);
  await until(() => device.answers.size === 0);
  await device.answers.stop();
});

Deno.test("Streams: junk from the other end ends its own stream with a reason", async () => {
  const header = (kind: number, length: number, filler = 0) => {
    const bytes = new Uint8Array(8);
    bytes.set([kind, filler]);
    new DataView(bytes.buffer).setUint32(4, length);
    return bytes;
  };
  const json = (value: string) => {
    const body = new TextEncoder().encode(value);
    return new Uint8Array([...header(3, body.length), ...body]);
  };
  const junk: unknown[] = [
    "text",
    null,
    new Uint8Array(MAX_STREAM_PIECE_BYTES + 1),
    header(9, 0),
    header(1, 0),
    header(0, 0, 1),
    header(0, 2 ** 31),
    header(3, 9_000),
    json("no json"),
    json("[]"),
    json('{"Resize":{"Height":-1,"Width":1e9}}'),
    json('{"Signal":"STOP"}'),
    json('{"__proto__":{"Signal":"KILL"}}'),
  ];
  for (const piece of junk) {
    const device = new Device(), session = device.session([piece]);
    device.answers.apply([ASK]);
    await until(() => session.said().some((said) => "Error" in said));
    assert.equal(device.ended, 1, String(piece));
    await device.answers.stop();
  }
  const device = new Device(), fine = device.session([toTask({ Signal: "INT" }), ...text("on")]);
  device.answers.apply([ASK]);
  await until(() => fine.printed() === "on");
  await device.answers.stop();
});

Deno.test("Streams: what cannot be entered is said in words, and the end of the task is the end of the stream", async () => {
  const refusals: [Device, StreamAsk, RegExp][] = [
    [new Device(), { ...ASK, TaskID: "t9" }, /does not run on this node/],
    [new Device(false), ASK, /echo lets nobody in/],
  ];
  for (const [device, ask, why] of refusals) {
    const session = device.session([]);
    device.answers.apply([ask]);
    await until(() => session.said().length > 0);
    assert.match((session.said()[0] as { Error: string }).Error, why);
    await device.answers.stop();
  }
  const device = new Device(), session = device.session([]);
  device.answers.apply([ASK]);
  await until(() => session.said().length === 1);
  device.end();
  await until(() => session.said().length === 2);
  assert.match((session.said()[1] as { Error: string }).Error, /the task has ended/);
  await device.answers.stop();
});

Deno.test("Streams: no more are open at once than a node may have, and none without a session", async () => {
  const device = new Device(),
    asks = [...Array(MAX_STREAMS_PER_NODE + 5).keys()].map((n) => ({ ...ASK, ID: `s${n}` }));
  device.answers.apply(asks);
  await settle();
  assert.deepEqual(device.opened, []);
  device.session([]);
  device.answers.apply(asks);
  await until(() => device.opened.length === MAX_STREAMS_PER_NODE);
  await settle(20);
  assert.equal(device.opened.length, MAX_STREAMS_PER_NODE);
  device.answers.disconnect();
  await device.answers.stop();
  assert.equal(device.ended, MAX_STREAMS_PER_NODE);
});
