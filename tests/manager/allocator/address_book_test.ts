import assert from "node:assert/strict";
import fc from "fast-check";
import { contains, parseBlock, parseIPv4 } from "../../../api/ipv4.ts";
import type { NetworkSubnet } from "../../../api/network.ts";
import { AddressBook } from "../../../manager/allocator/address_book.ts";

/** Histories that the property is tried on. */
const HISTORIES = 10_000;

const subnets: Record<string, NetworkSubnet[]> = {
  small: [{ Subnet: "10.1.0.0/29", Gateway: "10.1.0.1", AuxiliaryAddresses: { router: "10.1.0.5" } }],
  ranged: [{ Subnet: "10.2.0.0/24", IPRange: "10.2.0.8/30", Gateway: "10.2.0.1" }],
  two: [
    { Subnet: "10.3.0.0/30", Gateway: "10.3.0.1" },
    { Subnet: "10.3.1.0/30", Gateway: "10.3.1.2" },
  ],
};
const NETWORKS = Object.keys(subnets);
/** How many addresses of each network somebody can have. */
const ROOM: Record<string, number> = { small: 4, ranged: 4, two: 2 };
const HOLDERS = Array.from({ length: 7 }, (_, at) => `task/${at}`);

function newBook(): AddressBook {
  const book = new AddressBook();
  for (const ID of NETWORKS) book.add({ ID, Subnets: subnets[ID]! });
  return book;
}

const step = fc.record({
  network: fc.constantFrom(...NETWORKS),
  holder: fc.constantFrom(...HOLDERS),
  takes: fc.boolean(),
});

/** Who has what, as the store would say it. */
type Model = Map<string, { network: string; holder: string; address: string }>;

function play(book: AddressBook, model: Model, steps: { network: string; holder: string; takes: boolean }[]) {
  for (const { network, holder, takes } of steps) {
    const key = `${network} ${holder}`, known = model.get(key);
    if (!takes) {
      assert.equal(book.release(network, holder), known !== undefined);
      model.delete(key);
      continue;
    }
    const address = book.take(network, holder);
    if (known !== undefined) assert.equal(address, known.address, "asked again it gives the same");
    else if (address === undefined) {
      const held = [...model.values()].filter((each) => each.network === network).length;
      assert.equal(held, ROOM[network], "it refuses only where nothing is left");
    } else model.set(key, { network, holder, address });
  }
}

Deno.test(`Address book: in ${HISTORIES} histories no address has two holders, all come back, and a rebuilt book goes on alike`, () => {
  const history = fc.tuple(fc.array(step, { maxLength: 40 }), fc.array(step, { maxLength: 10 }));
  fc.assert(
    fc.property(history, ([before, after]) => {
      const book = newBook(), model: Model = new Map();
      play(book, model, before);
      const given = [...model.values()].map(({ address }) => address);
      assert.equal(new Set(given).size, given.length);
      for (const { network, address } of model.values()) {
        const [text = "", mask = ""] = address.split("/"), number = parseIPv4(text)!;
        const home = subnets[network]!.find(({ Subnet }) => contains(parseBlock(Subnet)!, number))!;
        const { first, last, bits } = parseBlock(home.Subnet)!;
        assert.equal(Number(mask), bits);
        assert.ok(![first, last].includes(number) && text !== home.Gateway, address);
        assert.ok(!Object.values(home.AuxiliaryAddresses ?? {}).includes(text), address);
        assert.ok(home.IPRange === undefined || contains(parseBlock(home.IPRange)!, number), address);
      }
      const rebuilt = newBook();
      for (const { network, holder, address } of model.values()) {
        assert.ok(rebuilt.claim(network, holder, address));
      }
      const twin: Model = new Map(model);
      play(book, model, after);
      play(rebuilt, twin, after);
      assert.deepEqual(twin, model);
      for (const { network, holder } of model.values()) book.release(network, holder);
      for (const network of NETWORKS) {
        assert.deepEqual([book.free(network), book.holders(network)], [ROOM[network], 0]);
      }
      for (const holder of HOLDERS) assert.deepEqual(book.networksOf(holder), []);
    }),
    { numRuns: HISTORIES },
  );
});

Deno.test("Address book: what is another's, kept back or outside cannot be claimed", () => {
  const book = newBook();
  assert.ok(book.claim("small", "task/1", "10.1.0.3/29"));
  assert.ok(book.claim("small", "task/1", "10.1.0.3"), "its own again");
  for (const address of ["10.1.0.3", "10.1.0.0", "10.1.0.1", "10.1.0.5", "10.1.0.7", "10.9.0.1", "x"]) {
    assert.ok(!book.claim("small", "task/2", address), address);
  }
  assert.ok(!book.claim("small", "task/1", "10.1.0.4"), "it has one already");
  assert.ok(!book.claim("nowhere", "task/1", "10.1.0.4"));
  assert.equal(book.take("nowhere", "task/1"), undefined);
  book.remove("small");
  assert.deepEqual([book.has("small"), book.networksOf("task/1"), book.free("small")], [false, [], 0]);
});

Deno.test("Address book: an address that was given back is not the next one given out", () => {
  const book = new AddressBook();
  book.add({ ID: "n", Subnets: [{ Subnet: "10.0.0.0/16", Gateway: "10.0.0.1" }] });
  let same = 0, last = "";
  for (let at = 0; at < 1000; at++) {
    const address = book.take("n", `task/${at}`)!;
    if (address === last) same++;
    book.release("n", `task/${at}`);
    last = address;
  }
  assert.ok(same <= 1, `${same} of 1000 were`);
});
