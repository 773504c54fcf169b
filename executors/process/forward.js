// Connects to one port for the agent, outside of its sandbox, and as a user of its own: whoever connects to the socket is led there.
// It says `ready` when that can be done, and ends with its standard input.
//
// An answer begins with `+` if the port is reached, else with `-` and why not; then come the bytes, both ways, each with its end.
const [socket, hostname, port] = Deno.args;

async function copy(from, to) {
  const buffer = new Uint8Array(64 * 1024);
  for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
    for (let at = 0; at < count;) at += await to.write(buffer.subarray(at, count));
  }
  await to.closeWrite();
}

async function carry(client) {
  let target;
  try {
    target = await Deno.connect({ hostname, port: Number(port) });
  } catch (error) {
    await client.write(new TextEncoder().encode(`-${error.message}`));
    return client.close();
  }
  try {
    await client.write(new TextEncoder().encode("+"));
    await Promise.all([copy(client, target), copy(target, client)]);
  } finally {
    client.close();
    target.close();
  }
}

async function untilInputEnds() {
  const buffer = new Uint8Array(64);
  while (await Deno.stdin.read(buffer) !== null);
  Deno.exit(0);
}

const listener = Deno.listen({ transport: "unix", path: socket });
console.log("ready");
untilInputEnds();
for await (const client of listener) carry(client).catch(() => {});
