import assert from "node:assert/strict";
import { type Client, ClientTable } from "../../../../manager/http/front/client_table.ts";

interface Guest {
  client: Client;
  closed: boolean;
  leave(): void;
}

/** A table of `most` places, and how to come to it. */
function tableOf(most: number) {
  const table = new ClientTable(most), guests: Guest[] = [];
  const come = (): Guest | undefined => {
    const left = Promise.withResolvers<void>();
    let guest: Guest | undefined;
    const close = () => {
      if (guest) guest.closed = true;
      left.resolve();
    };
    const connection = { close } as unknown as Deno.UnixConn;
    table.admit(connection, (client) => {
      guests.push(guest = { client, closed: false, leave: close });
      return left.promise;
    });
    return guest;
  };
  return { table, come, guests };
}

Deno.test("Client table: when all places are taken, who has kept us waiting longest gives way", async () => {
  const { table, come } = tableOf(3);
  const [a, b, c] = [come()!, come()!, come()!];
  for (const { client } of [a, b, c]) client.waits();
  a.client.waits();
  assert.ok(come());
  assert.deepEqual([a, b, c].map(({ closed }) => closed), [false, true, false]);
  c.client.works();
  a.client.works();
  assert.equal(come(), undefined, "nobody gives way who is being answered");
  assert.equal(table.size, 3);
  await table.close();
  assert.equal(table.size, 0);
});

Deno.test("Client table: a quarter of the places is not for what the engine answers", async () => {
  const { table } = tableOf(4);
  const ends = Promise.withResolvers<void>();
  const pipes = Array.from({ length: 3 }, () => table.whilePiped(() => ends.promise));
  assert.equal(await table.whilePiped(() => ends.promise), false);
  ends.resolve();
  assert.deepEqual(await Promise.all(pipes), [true, true, true]);
  assert.equal(await table.whilePiped(() => Promise.resolve()), true);
});
