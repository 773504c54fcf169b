/**
 * Writes to the store in the folder given and prints the ID of every acknowledged task, until it is killed.
 */
import { task } from "../../store/objects.ts";
import { open } from "./one_member.ts";

const folder = Deno.args[0]!;
const { store } = await open(folder, { checkpointEntries: 20 });
const encoder = new TextEncoder();
let next = store.count("tasks");

async function writer(): Promise<void> {
  while (true) {
    const id = `t${next++}`;
    await store.update((tx) => tx.create("tasks", task(id, "s".repeat(next % 2000))));
    Deno.stdout.writeSync(encoder.encode(`${id}\n`));
  }
}

await Promise.all(Array.from({ length: 8 }, writer));
