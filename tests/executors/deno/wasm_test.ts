/** WebAssembly modules as deno tasks: assembled here, as few bytes as the behaviour needs. */
import assert from "node:assert/strict";
import type { DenoSpec } from "../../../api/deno_spec.ts";
import { denoFixture, denoTask, ranTask } from "../../conformance/deno_fixture.ts";

const I32 = 0x7f;

const vec = (items: number[][]) => [items.length, ...items.flat()];
const text = (value: string) => [value.length, ...new TextEncoder().encode(value)];
const section = (id: number, body: number[]) => [id, body.length, ...body];
const constant = (value: number) => [0x41, value];
const call = (index: number) => [0x10, index];
const DROP = 0x1a, END = 0x0b;
/** The types that the modules below use: of `fd_write`, of `proc_exit` and of `_start`. */
const TYPES = vec([[0x60, ...vec([[I32], [I32], [I32], [I32]]), 1, I32], [0x60, 1, I32, 0], [0x60, 0, 0]]);

/** A module whose `start` runs `code`, with two imports, one page of memory and `data` at its start. */
function wasm(
  { imports, code, data = [], start = "_start" }: {
    imports: [string, number][];
    code: number[];
    data?: number[];
    start?: string;
  },
): Uint8Array {
  const body = [0, ...code, END];
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, TYPES),
    ...section(
      2,
      vec(imports.map(([name, type]) => [...text("wasi_snapshot_preview1"), ...text(name), 0, type])),
    ),
    ...section(3, vec([[2]])),
    ...section(5, vec([[0, 1]])),
    ...section(7, vec([[...text("memory"), 2, 0], [...text(start), 0, imports.length]])),
    ...section(10, vec([[body.length, ...body]])),
    ...section(11, vec([[0, ...constant(0), END, data.length, ...data]])),
  ]);
}

const WRITE: [string, number] = ["fd_write", 0], EXIT: [string, number] = ["proc_exit", 1];
/** One piece of text of six bytes, which stands behind its own description. */
const HELLO = [8, 0, 0, 0, 6, 0, 0, 0, ...new TextEncoder().encode("hello\n")];
const hello = [1, 0, 1, 32].flatMap(constant).concat(call(0), DROP);

async function ran(spec: DenoSpec, file?: Uint8Array) {
  const world = await denoFixture(), Module = `${world.stateDir}/hello.wasm`;
  try {
    if (file) await Deno.writeFile(Module, file);
    return await ranTask(world, denoTask(file ? { ...spec, Module } : spec));
  } finally {
    await world.close();
  }
}

Deno.test("Deno: a WebAssembly module writes to its log and ends with its own code", async () => {
  const module = wasm({ imports: [WRITE, EXIT], code: [...hello, ...constant(7), ...call(1)], data: HELLO });
  const expected = { exit: { ExitCode: 7 }, log: "hello\n" };
  assert.deepEqual(await ran({ Wasm: module.toBase64() }), expected);
  assert.deepEqual(await ran({}, module), expected);
});

Deno.test("Deno: a WebAssembly module that returns from its start has ended well", async () => {
  for (const start of ["_start", "main"]) {
    const module = wasm({ imports: [WRITE], code: hello, data: HELLO, start });
    assert.deepEqual(await ran({ Wasm: module.toBase64() }), { exit: { ExitCode: 0 }, log: "hello\n" });
  }
});

Deno.test("Deno: what a WebAssembly module cannot have is named", async () => {
  const socket = wasm({ imports: [["sock_open", 0]], code: [] });
  assert.deepEqual(await ran({ Wasm: socket.toBase64() }), {
    exit: { ExitCode: 126 },
    log: "Cannot run module.wasm: it imports function wasi_snapshot_preview1.sock_open, which is not there\n",
  });
  const library = wasm({ imports: [], code: [], start: "add" });
  assert.deepEqual(await ran({}, library), {
    exit: { ExitCode: 126 },
    log: "Cannot run hello.wasm: it exports neither _start nor main\n",
  });
  const { exit, log } = await ran({ Wasm: wasm({ imports: [], code: [0xff] }).toBase64() });
  assert.equal(exit.ExitCode, 126);
  assert.match(log, /^Cannot run module.wasm: .*Invalid opcode/);
});
