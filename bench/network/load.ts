/**
 * Asks a server many times, a connection each or as HTTP clients do, which keep theirs, and prints the requests a second.
 * `load.ts each|kept ADDRESS PORT REQUESTS CLIENTS`
 */
const [how, hostname = "", port, requests, clients] = Deno.args;
const question = new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n");
let left = Number(requests);

async function ask(): Promise<void> {
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(question);
  const buffer = new Uint8Array(1024);
  let bytes = 0;
  for (let read; (read = await connection.read(buffer)) !== null;) bytes += read;
  if (bytes === 0) throw new Error("no answer");
}

async function fetchOnce(): Promise<void> {
  const response = await fetch(`http://${hostname}:${port}/`);
  if (await response.text() !== "ok\n") throw new Error("another answer");
}

const once = how === "kept" ? fetchOnce : ask;
const start = performance.now();
await Promise.all(Array.from({ length: Number(clients) }, async () => {
  while (left-- > 0) await once();
}));
console.log(Number(requests) / (performance.now() - start) * 1000);
Deno.exit(0);
