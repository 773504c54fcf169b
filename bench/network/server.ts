/** Answers every connection with a line and closes it; at the next port, HTTP over connections that are kept. `server.ts PORT` */
const port = Number(Deno.args[0]);
const answer = new TextEncoder().encode("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
Deno.serve({ port: port + 1, onListen: () => {} }, () => new Response("ok\n"));
for await (const connection of Deno.listen({ port })) {
  void serve(connection).catch(() => {});
}

async function serve(connection: Deno.Conn): Promise<void> {
  using _ = connection;
  await connection.read(new Uint8Array(1024));
  await connection.write(answer);
}
