import assert from "node:assert/strict";
import { ask as askHelper } from "./ask_helper.ts";

const isRoot = Deno.uid() === 0;

const ask = (requests: string[], look?: string) => askHelper(requests, look, ":", "nearnode");

const NETWORK = ["network 4097 4789 0 - -", "addresses 4097 10.1.0.1/24 10.1.0.3/32"];
const TASK = "join task1 - - 4097@10.1.0.4/24";
const IN_TASK = "nsenter --net=/run/netns/covey-nearnode-task1";
/** Asks for what a process in the task's namespace is part of. */
const again = (words: string) =>
  `${IN_TASK} sleep 60 & pid=$!; echo "near 1 ${words}" | "$0" serve nearnode; kill $pid`;

Deno.test({
  name:
    "Network helper: a task's own namespace translates services' addresses, as they were said last, and only on its networks",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const first = "near own:task1:10.1.0.4 vip:10.1.0.9:10.1.0.5,10.1.0.6 vip:10.1.0.10:10.1.0.5";
    const { answers, seen } = await ask(
      [...NETWORK, TASK, first],
      `${IN_TASK} nft list ruleset; nft list ruleset`,
    );
    assert.deepEqual(answers, ["ok 1450", "ok", "ok", "ok"]);
    assert.match(
      seen,
      /oifname "eth0" ip daddr vmap \{ 10\.1\.0\.9 : jump vip_10_1_0_9, 10\.1\.0\.10 : jump vip_10_1_0_10 \}/,
    );
    assert.match(seen, /mod 2 map \{ 0 : 10\.1\.0\.5, 1 : 10\.1\.0\.6 \}/);
    assert.equal(seen.match(/table/g)?.length, 1, "nothing on the host");
    const later = await ask(
      [...NETWORK, TASK, first, "near own:task1:10.1.0.4 vip:10.1.0.9:10.1.0.6"],
      `${IN_TASK} nft list ruleset`,
    );
    assert.match(later.seen, /mod 1 map \{ 0 : 10\.1\.0\.6 \}/);
    assert.ok(!later.seen.includes("10.1.0.5") && !later.seen.includes("10_1_0_10"), later.seen);
    const part = await ask(
      [...NETWORK, TASK, first, "near own:task1:10.1.0.4:part vip:10.1.0.9:10.1.0.7"],
      `${IN_TASK} nft list ruleset`,
    );
    assert.match(part.seen, /chain vip_10_1_0_9 \{\s+dnat to numgen random mod 1 map \{ 0 : 10\.1\.0\.7 \}/);
    assert.match(part.seen, /chain vip_10_1_0_10 \{\s+dnat to numgen random mod 1 map \{ 0 : 10\.1\.0\.5 \}/);
    const lost = await ask(
      [...NETWORK, TASK, "near own:task1:10.1.0.4:part vip:10.1.0.9:10.1.0.7"],
      `${IN_TASK} nft list ruleset`,
    );
    assert.deepEqual([lost.answers[3], lost.seen], ["error Cannot load what task1 translates", ""]);
    const over = await ask(
      [...NETWORK, TASK, first, "near own:task1:10.1.0.4"],
      `${IN_TASK} nft list ruleset`,
    );
    assert.equal(over.seen, "");
  },
});

Deno.test({
  name:
    "Network helper: a container's namespace is found by its process, and told from another's by its address and its device",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const vip = "vip:10.1.0.9:10.1.0.5", show = `${IN_TASK} nft list ruleset; nft list ruleset`;
    const loaded = await ask([...NETWORK, TASK], `${again(`at:$pid:10.1.0.4 ${vip}`)}; ${show}`);
    assert.match(loaded.seen, /1 ok[^]*oifname "eth0" ip daddr vmap/);
    for (
      const [words, before] of [
        [`at:$pid:10.1.0.5 ${vip}`],
        [`at:$$:10.1.0.4 ${vip}`],
        [
          `at:$$:10.1.0.4 ${vip}`,
          "ip link add link cvp1001 name own type macvlan; ip addr add 10.1.0.4/24 dev own",
        ],
        [`at:99999999:10.1.0.4 ${vip}`],
        [`own:task2:10.1.0.4 ${vip}`],
        // Its address on a device that is not ours.
        [
          `at:$pid:10.1.0.8 ${vip}`,
          `${IN_TASK} ip link add own type dummy; ${IN_TASK} ip addr add 10.1.0.8/24 dev own`,
        ],
        // A name that would go on in nft's language.
        [
          `at:$pid:10.1.0.4 ${vip}`,
          `${IN_TASK} ip link set eth0 down; ${IN_TASK} ip link set eth0 name 'a"}#'`,
        ],
      ] as const
    ) {
      const { seen } = await ask([...NETWORK, TASK], `${before ?? ":"}; ${again(words)}; ${show}`);
      assert.equal(seen.trim(), "1 ok", `${words}: nothing is loaded`);
    }
  },
});

Deno.test({
  name: "Network helper: a task that is gone holds up no other",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const two = "near own:task2:10.1.0.6 vip:10.1.0.9:10.1.0.5 own:task1:10.1.0.4 vip:10.1.0.9:10.1.0.5";
    const both = await ask(
      [...NETWORK, TASK, "join task2 - - 4097@10.1.0.6/24", two],
      `${IN_TASK} nft list ruleset; nsenter --net=/run/netns/covey-nearnode-task2 nft list ruleset`,
    );
    assert.equal(both.seen.match(/vmap/g)?.length, 2);
  },
});

Deno.test({
  name: "Network helper: what a task keeps from being loaded is said, and holds up no other",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const join = [...NETWORK, TASK, "join task2 - - 4097@10.1.0.6/24"],
      other = "nsenter --net=/run/netns/covey-nearnode-task2";
    // A table with an owner is that one's alone, for as long as it lives.
    const table = "nft list table ip covey_near",
      made =
        `for i in $(seq 50); do ${IN_TASK} ${table} 2>/dev/null | grep -q owner && break; sleep 0.1; done`;
    const own =
      `(echo 'add table ip covey_near { flags owner; }'; sleep 30) | ${IN_TASK} nft -i >/dev/null & ${made}`;
    const words = "own:task1:10.1.0.4 vip:10.1.0.9:10.1.0.5 own:task2:10.1.0.6 vip:10.1.0.9:10.1.0.5";
    const { seen } = await ask(
      join,
      `${own}; echo "near 1 ${words}" | "$0" serve nearnode; ${other} nft list ruleset; kill $!`,
    );
    assert.match(seen, /^1 error .*Cannot load what task1 translates/);
    assert.match(seen, /vmap \{ 10\.1\.0\.9 : jump/);
  },
});
