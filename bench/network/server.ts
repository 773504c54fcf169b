/** Answers every connection with a line and closes it. `server.ts PORT` */
const answer = new TextEncoder().encode("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
for await (const connection of Deno.listen({ port: Number(Deno.args[0]) })) {
  void serve(connection).catch(() => {});
}

async function serve(connection: Deno.Conn): Promise<void> {
  using _ = connection;
  await connection.read(new Uint8Array(1024));
  await connection.write(answer);
}
