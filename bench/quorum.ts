/**
 * Three managers in processes of their own on loopback, with TLS and synced disks: raw proposals per second, and the time
 * from kill -9 of the leader until another serves. Run: `deno run -A --unstable-kv bench/quorum.ts [FOLDER]`
 */
import { fileURLToPath } from "node:url";
import { systemClock } from "../api/clock.ts";
import { newID, systemRandom } from "../api/random.ts";
import { createPrivateKeyPEM, createRootCA, issueNodeCertificate, publicKeyOf } from "../security/mod.ts";
import type { MemberSetup } from "./quorum_member.ts";

const MEMBERS = 3;
const CLIENTS = [1, 16, 256];
const MEASURE_MS = 4000;
const ENTRY_BYTES = 256;
const FAILOVERS = 5;
const DAY_MS = 86_400_000;

interface Member {
  name: number;
  child: Deno.ChildProcess;
  input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  lines: AsyncIterator<string>;
}

const parent = Deno.args[0] ?? await Deno.makeTempDir({ prefix: "covey-bench-" });
const folder = await Deno.makeTempDir({ dir: parent });
const program = fileURLToPath(new URL("./quorum_member.ts", import.meta.url));
const encoder = new TextEncoder();
const members = new Map<number, Member>();
let leader = 0;

try {
  await writeSetups();
  for (let name = 0; name < MEMBERS; name++) await start(name);
  for (const clients of CLIENTS) {
    const { input, lines } = members.get(leader)!;
    await input.write(encoder.encode(`propose ${clients} ${MEASURE_MS} ${ENTRY_BYTES}\n`));
    console.log((await lines.next()).value);
  }
  const times: number[] = [];
  for (let round = 0; round < FAILOVERS; round++) times.push(await failOver());
  console.log(`fail-over after kill -9: ${times.join(", ")} ms`);
} finally {
  for (const { child } of members.values()) child.kill("SIGKILL");
  for (const { child } of members.values()) await child.status;
  await Deno.remove(Deno.args[0] === undefined ? parent : folder, { recursive: true });
}

async function writeSetups(): Promise<void> {
  const context = { clock: systemClock, random: systemRandom };
  const root = await createRootCA(context);
  const clusterID = newID(systemRandom);
  const addresses = Array.from({ length: MEMBERS }, () => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    return `127.0.0.1:${port}`;
  });
  for (const [name, address] of addresses.entries()) {
    const privateKeyPEM = await createPrivateKeyPEM();
    const certificateChainPEM = await issueNodeCertificate(root, {
      ...{ publicKey: publicKeyOf(privateKeyPEM), clusterID, role: "swarm-manager", expiryMs: DAY_MS },
      nodeID: newID(systemRandom),
    }, context);
    const setup: MemberSetup = {
      ...{ folder: `${folder}/${name}`, address, join: name === 0 ? [] : [addresses[0]!] },
      identity: { rootCAPEM: root.certificatePEM, certificateChainPEM, privateKeyPEM },
    };
    await Deno.mkdir(setup.folder);
    await Deno.writeTextFile(`${folder}/${name}.json`, JSON.stringify(setup));
  }
}

/** Starts a member and waits until it votes. */
async function start(name: number): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--unstable-kv", program, `${folder}/${name}.json`],
    ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
  }).spawn();
  const member = { name, child, input: child.stdin.getWriter(), lines: linesOf(child.stdout) };
  members.set(name, member);
  while (!(await member.lines.next()).value?.includes("ready")) { /* it may lead before */ }
}

async function failOver(): Promise<number> {
  const dead = members.get(leader)!;
  members.delete(leader);
  const next = [...members.values()].map(async ({ name, lines }) => {
    while (true) {
      const { leads } = JSON.parse((await lines.next()).value!);
      if (leads) return { name, leads: leads as number };
    }
  });
  const start0 = Date.now();
  dead.child.kill("SIGKILL");
  const first = await Promise.race(next);
  await dead.child.status;
  leader = first.name;
  // Whoever did not win keeps waiting for a line; it is started anew so that nobody reads beside it.
  for (const { name, child } of [...members.values()].filter(({ name }) => name !== leader)) {
    members.delete(name);
    child.kill("SIGKILL");
    await child.status;
    await start(name);
  }
  await start(dead.name);
  return first.leads - start0;
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}
