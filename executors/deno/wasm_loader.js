// The main module of a deno task that runs a WebAssembly module; `given` stands before it. A module may import these functions
// of WASI's first preview (its log, arguments, clock and randomness) and no other: Deno has no WASI of its own. There are no
// files and no variables in it.
const BAD_DESCRIPTOR = 8, NO_ENTRY = 44, INVALID = 28;
const bytes = given.wasm === undefined
  ? await Deno.readFile(new URL(given.url))
  : Uint8Array.fromBase64(given.wasm);
const args = [given.name, ...Deno.args].map((arg) => new TextEncoder().encode(`${arg}\0`));

const view = () => new DataView(exports.memory.buffer);
const slice = (at, length) => new Uint8Array(exports.memory.buffer, at >>> 0, length >>> 0);
const isStream = (fd) => fd <= 2;

function writeStream(fd, list, count, written) {
  if (fd !== 1 && fd !== 2) return BAD_DESCRIPTOR;
  let total = 0;
  for (let i = 0; i < count; i++) {
    const at = view().getUint32(list + 8 * i, true), length = view().getUint32(list + 8 * i + 4, true);
    for (let done = 0; done < length;) {
      done += (fd === 1 ? Deno.stdout : Deno.stderr).writeSync(slice(at + done, length - done));
    }
    total += length;
  }
  view().setUint32(written, total, true);
  return 0;
}

function sizes(texts, count, length) {
  view().setUint32(count, texts.length, true);
  view().setUint32(length, texts.reduce((sum, text) => sum + text.length, 0), true);
  return 0;
}

function copy(texts, pointers, at) {
  for (const [i, text] of texts.entries()) {
    view().setUint32(pointers + 4 * i, at, true);
    slice(at, text.length).set(text);
    at += text.length;
  }
  return 0;
}

function readClock(id, _precision, at) {
  if (id > 1) return INVALID;
  const ms = id === 0 ? Date.now() : performance.now();
  view().setBigUint64(at, BigInt(Math.round(ms * 1e6)), true);
  return 0;
}

function describeStream(fd, at) {
  if (!isStream(fd)) return BAD_DESCRIPTOR;
  slice(at, 24).fill(0);
  // A character device that can be read or written.
  view().setUint8(at, 2);
  view().setBigUint64(at + 8, fd === 0 ? 2n : 64n, true);
  return 0;
}

function fillRandom(at, length) {
  // No more at once than the platform gives.
  for (let done = 0; done < length; done += 65536) {
    crypto.getRandomValues(slice(at + done, Math.min(65536, length - done)));
  }
  return 0;
}

const known = {
  args_sizes_get: (count, length) => sizes(args, count, length),
  args_get: (pointers, at) => copy(args, pointers, at),
  environ_sizes_get: (count, length) => sizes([], count, length),
  environ_get: () => 0,
  clock_time_get: readClock,
  random_get: fillRandom,
  sched_yield: () => 0,
  fd_write: writeStream,
  fd_read: (fd, _list, _count, read) => fd === 0 ? (view().setUint32(read, 0, true), 0) : BAD_DESCRIPTOR,
  fd_fdstat_get: describeStream,
  fd_close: (fd) => isStream(fd) ? 0 : BAD_DESCRIPTOR,
  // A stream has no place to go to.
  fd_seek: (fd) => isStream(fd) ? 70 : BAD_DESCRIPTOR,
  fd_prestat_get: () => BAD_DESCRIPTOR,
  fd_prestat_dir_name: () => BAD_DESCRIPTOR,
  path_open: () => NO_ENTRY,
  proc_exit: (code) => Deno.exit(code),
};

function fail(why) {
  console.error(`Cannot run ${given.name}: ${why}`);
  Deno.exit(126);
}

const module = await WebAssembly.compile(bytes).catch((error) => fail(error.message));
for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
  if (from === "wasi_snapshot_preview1" && kind === "function" && Object.hasOwn(known, name)) continue;
  fail(`it imports ${kind} ${from}.${name}, which is not there`);
}
const { exports } = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: known });
const start = exports._start ?? exports.main;
if (typeof start !== "function") fail("it exports neither _start nor main");
const code = start === exports.main ? start(0, 0) : start();
Deno.exit(typeof code === "number" ? code & 255 : 0);
