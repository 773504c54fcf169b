/** `covey port-forward` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import { parseCount } from "../units.ts";
import { writeAll } from "../upgrade.ts";
import type { ControlClient } from "../client.ts";
import { type Context, withClient } from "../context.ts";
import { runningTask, TaskStream } from "../task_stream.ts";

/** Connections of one command at once: fewer than streams of one node, so that somebody else gets in. */
const MAX_CONNECTIONS = 16;
/** Read at once. */
const READ_BYTES = 32 * 1024;

/** Adds the command. */
export function portForwardCommand(program: Command, context: Context): void {
  program.command("port-forward").description("Reach a port of a running task at one of this machine")
    .argument("<task>", "a task, or SERVICE, or SERVICE@NODE")
    .argument("<port>", "LOCAL:REMOTE, or PORT for both; LOCAL 0 takes one that is free")
    .action((reference: string, ports: string, _flags, command) =>
      withClient(context, command, async (client) => {
        const [first = "", second = first] = ports.split(":");
        const port = portOf(first, 0), Port = portOf(second, 1);
        const { ID } = await runningTask(client, reference);
        // What is wrong with the task or the port is said now, not at the first connection.
        (await TaskStream.open(client, ID, { Kind: "forward", Port })).close();
        const listener = listenAt(port);
        context.output.note(
          `127.0.0.1:${(listener.addr as Deno.NetAddr).port} leads to port ${Port} of ${reference}\n`,
        );
        const stop = () => listener.close();
        context.signal.addEventListener("abort", stop, { once: true });
        await forward(context, client, listener, { ID, Port });
      })
    );
}

function portOf(text: string, least: number): number {
  const port = parseCount("port", text);
  if (port >= least && port <= 65535) return port;
  throw new CoveyError("invalid_argument", `Cannot use port ${text}: want ${least} to 65535`);
}

/** The loopback alone: whoever is on the network is not meant. */
function listenAt(port: number): Deno.TcpListener {
  try {
    return Deno.listen({ hostname: "127.0.0.1", port });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CoveyError("failed_precondition", `Cannot listen at 127.0.0.1:${port}: ${why}`, { cause });
  }
}

async function forward(
  { output, signal }: Context,
  client: ControlClient,
  listener: Deno.TcpListener,
  { ID, Port }: { ID: string; Port: number },
): Promise<void> {
  const open = new Set<Deno.TcpConn>();
  try {
    for await (const connection of listener) {
      if (open.size >= MAX_CONNECTIONS) {
        output.note(`covey: a connection was refused: ${open.size} are open, the limit\n`);
        connection.close();
        continue;
      }
      open.add(connection);
      void carry(connection, client, { ID, Port })
        .catch((thrown) =>
          signal.aborted || output.note(`covey: a connection ended: ${CoveyError.from(thrown).message}\n`)
        )
        .finally(() => {
          open.delete(connection);
          close(connection);
        });
    }
  } finally {
    for (const connection of open) close(connection);
  }
}

/** One connection, until both sides have ended what they say. */
async function carry(
  connection: Deno.TcpConn,
  client: ControlClient,
  { ID, Port }: { ID: string; Port: number },
): Promise<void> {
  const stream = await TaskStream.open(client, ID, { Kind: "forward", Port });
  try {
    const up = (async () => {
      const buffer = new Uint8Array(READ_BYTES);
      for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
        await stream.send(buffer.slice(0, count));
      }
      await stream.end();
    })();
    up.catch(() => stream.close());
    for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) {
      if (frame.kind !== "output") continue;
      if (frame.data.length > 0) await writeAll(connection, frame.data);
      else await connection.closeWrite();
    }
    close(connection);
    await up.catch(() => {});
  } finally {
    stream.close();
  }
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
