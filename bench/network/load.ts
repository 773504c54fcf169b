/**
 * Asks a server at two addresses in turn, a connection each or as HTTP clients do, which keep theirs, and prints the
 * requests a second of each turn as JSON: `[[of A, ...], [of B, ...]]`. All turns are of one process that has warmed up,
 * and who begins changes: what a program's first seconds cost, and what else the machine does, is not compared.
 * `load.ts each|kept A B PORT REQUESTS CLIENTS TURNS`
 */
const [how, a = "", b = "", port, requests, clients, turns] = Deno.args;
const question = new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n");

async function ask(hostname: string): Promise<void> {
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(question);
  const buffer = new Uint8Array(1024);
  let bytes = 0;
  for (let read; (read = await connection.read(buffer)) !== null;) bytes += read;
  if (bytes === 0) throw new Error("no answer");
}

async function fetchOnce(hostname: string): Promise<void> {
  const response = await fetch(`http://${hostname}:${port}/`);
  if (await response.text() !== "ok\n") throw new Error("another answer");
}

const once = how === "kept" ? fetchOnce : ask;

/** Requests a second. */
async function turn(hostname: string): Promise<number> {
  let left = Number(requests);
  const start = performance.now();
  await Promise.all(Array.from({ length: Number(clients) }, async () => {
    while (left-- > 0) await once(hostname);
  }));
  return Number(requests) / (performance.now() - start) * 1000;
}

const ofA: number[] = [], ofB: number[] = [];
for (const address of [a, b]) await turn(address);
for (let i = 0; i < Number(turns); i++) {
  if (i % 2) ofB.push(await turn(b));
  ofA.push(await turn(a));
  if (i % 2 === 0) ofB.push(await turn(b));
}
console.log(JSON.stringify([ofA, ofB]));
Deno.exit(0);
