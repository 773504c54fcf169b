import assert from "node:assert/strict";
import fc from "fast-check";
import { ask, HELPER } from "./ask_helper.ts";

const isRoot = Deno.uid() === 0;

const INSIDE = "nsenter --net=/run/netns/covey-testnode";

Deno.test({
  name: "Network helper: makes what it is asked for, twice the same, and removes all of it",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const make = [
      "network 4097 4789 0 - 02:42:0a:01:00:03",
      "addresses 4097 10.1.0.1/24 10.1.0.3/32 10.1.0.9/32",
      "table 4097 10.1.0.5@192.0.2.7 10.1.0.6@192.0.2.7",
      "rules node:4097:10.1.0.3 dns:10.1.0.1 from:10.1.0.4:169.254.80.1 vip:10.1.0.9:10.1.0.4,10.1.0.5 vip:10.1.0.8: port:tcp:8080:80:10.1.0.4 port:udp:53:53:",
    ];
    const look =
      `${INSIDE} sh -c 'ip -br addr show cvb1001; bridge fdb show dev cvx1001; ip neigh show dev cvx1001; ip -d link show cvx1001; nft list ruleset'; nft list ruleset`;
    const { answers, seen } = await ask([...make, ...make], look);
    assert.deepEqual(answers, ["ok 1450", "ok", "ok", "ok", "ok 1450", "ok", "ok", "ok"]);
    assert.match(seen, /cvb1001 .*10\.1\.0\.1\/24 10\.1\.0\.3\/32 10\.1\.0\.9\/32/);
    assert.match(seen, /02:42:0a:01:00:05 dst 192\.0\.2\.7/);
    assert.match(seen, /10\.1\.0\.6 lladdr 02:42:0a:01:00:06 PERMANENT/);
    assert.match(seen, /vxlan id 4097 .*dstport 4789 .*nolearning proxy|vxlan id 4097/);
    assert.match(
      seen,
      /ip daddr vmap \{ 10\.1\.0\.8 : jump vip_10_1_0_8, 10\.1\.0\.9 : jump vip_10_1_0_9 \}/,
    );
    assert.match(seen, /chain vip_10_1_0_8 \{\s+\}/, "nobody serves");
    assert.match(seen, /mod 2 map \{ 0 : 10\.1\.0\.4, 1 : 10\.1\.0\.5 \}/);
    assert.match(seen, /tcp dport 8080 dnat to 169\.254\.77\.2/);
    const changed = await ask([
      ...make,
      "table 4097 10.1.0.5@192.0.2.8",
      "addresses 4097 10.1.0.1/24",
      "rules",
      "keep 5000",
      ...make,
      "leave",
    ], "ip -br link; nft list ruleset; ip route; ls /run/netns");
    assert.ok(changed.answers.every((answer) => answer.startsWith("ok")), changed.answers.join("\n"));
    assert.ok(!/cv[plbx]|covey-testnode|169\.254|table/.test(changed.seen), changed.seen);
  },
});

Deno.test({
  name: "Network helper: what is there no more goes from the tables, what stays is left alone",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const { seen } = await ask([
      "network 4097 4789 0 - -",
      "addresses 4097 10.1.0.1/24 10.1.0.3/32",
      "table 4097 10.1.0.5@192.0.2.7 10.1.0.6@192.0.2.7",
      "table 4097 10.1.0.6@192.0.2.9",
      "addresses 4097 10.1.0.1/24 10.1.0.4/32",
    ], `${INSIDE} sh -c 'ip -br addr show cvb1001; bridge fdb show dev cvx1001; ip neigh show dev cvx1001'`);
    assert.ok(!seen.includes("10.1.0.5") && !seen.includes("0a:01:00:05"), seen);
    assert.match(seen, /0a:01:00:06 dst 192\.0\.2\.9/);
    assert.ok(!seen.includes("192.0.2.7"));
    assert.match(seen, /10\.1\.0\.1\/24 10\.1\.0\.4\/32/);
  },
});

Deno.test({
  name:
    "Network helper: an address that moves from one host to another is sent to where it is at once, and not to where it was",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    // Who is there refuses.
    const reach = (from: string, to: string, word: string) =>
      `${from} curl -s -m 5 http://${to}:9/; [ $? = 7 ] && echo ${word}`;
    const show = `${INSIDE} bridge fdb show | grep 02:42:0a:01:00:05`, again = `"$0" serve testnode`;
    const look = [
      // It is here, and heard of.
      "ip link add link cvp1001 name task address 02:42:0a:01:00:05 up type macvlan mode bridge",
      "ip addr add 10.1.0.5/24 dev task",
      reach("", "10.1.0.1", "reached"),
      show,
      "ip link del task",
      `echo table 9 4097 10.1.0.5@192.0.2.7 | ${again}`,
      show,
      // It is back, and says nothing.
      `echo table 9 4097 | ${again}`,
      "ip link add link cvp1001 name task address 02:42:0a:01:00:05 up type macvlan mode bridge",
      "ip addr add 10.1.0.5/24 dev task",
      show,
      reach(INSIDE, "10.1.0.5", "reached again"),
    ].join("; ");
    const { seen } = await ask(["network 4097 4789 0 - -", "addresses 4097 10.1.0.1/24"], look);
    assert.deepEqual(seen.trim().split("\n").map((line) => line.trim()).sort(), [
      "02:42:0a:01:00:05 dev cvx1001 dst 192.0.2.7 link-netnsid 0 self static",
      "02:42:0a:01:00:05 dev cvx1001 master cvb1001 static",
      "9 ok",
      "9 ok",
      "reached",
      "reached again",
    ]);
  },
});

Deno.test({
  name: "Network helper: a packet's size that the carrier does not take is refused, with what it leaves",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const { answers } = await ask([
      "network 4097 4789 1500 - -",
      "network 4097 4789 1300 - -",
      "network 4098 4789 600 192.0.2.1 -",
    ]);
    assert.deepEqual(answers, [
      "error its packets of 1500 bytes do not fit into the carrier, which leaves 1450",
      "ok 1300",
      "ok 600",
    ]);
  },
});

Deno.test({
  name:
    "Network helper: who serves and who asks is changed by itself, and the rest of the rules stays as it is",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const rules =
      "rules node:4097:10.1.0.3 from:10.1.0.4:169.254.80.1 vip:10.1.0.9:10.1.0.4 vip:10.1.0.8:10.1.0.4 " +
      "port:tcp:8080:80:10.1.0.4";
    const { answers, seen } = await ask([
      "network 4097 4789 0 - -",
      "serve vip:10.1.0.9:10.1.0.5",
      rules,
      "serve vip:10.1.0.9:10.1.0.5,10.1.0.6 port:tcp:8080:80:10.1.0.7",
      "askers from:10.1.0.5:169.254.80.2 from:10.1.0.6:169.254.80.3",
      "serve vip:10.1.0.9: vip:10.1.0.7:10.1.0.4",
    ], `${INSIDE} nft list ruleset`);
    assert.match(answers[1]!, /^error /, "there are no rules yet");
    assert.deepEqual(answers.slice(2, 5), ["ok", "ok", "ok"]);
    assert.match(answers[5]!, /^error /, "nothing is known of one of them");
    assert.match(
      seen,
      /chain vip_10_1_0_9 \{\s+dnat to numgen random mod 2 map \{ 0 : 10\.1\.0\.5, 1 : 10\.1\.0\.6 \}/,
    );
    assert.match(seen, /chain vip_10_1_0_8 \{\s+dnat to numgen random mod 1 map \{ 0 : 10\.1\.0\.4 \}/);
    assert.match(
      seen,
      /chain port_tcp_8080 \{\s+tcp dport 8080 dnat to numgen random mod 1 map \{ 0 : 10\.1\.0\.7 \}:80/,
    );
    assert.match(seen, /elements = \{ 10\.1\.0\.5 : 169\.254\.80\.2,\s+10\.1\.0\.6 : 169\.254\.80\.3 \}/);
    const emptied = await ask([
      "network 4097 4789 0 - -",
      rules,
      "serve vip:10.1.0.9: port:tcp:8080:80:",
      "askers",
    ], `${INSIDE} nft list ruleset`);
    assert.match(emptied.seen, /chain vip_10_1_0_9 \{\s+\}/);
    assert.match(emptied.seen, /chain port_tcp_8080 \{\s+\}/);
    assert.ok(!emptied.seen.includes("elements"), emptied.seen);
  },
});

/** What a program in a namespace sees, and the test's own IDs of tasks. */
const OWN = (task: string) => `nsenter --net=/run/netns/covey-testnode-${task}`;

Deno.test({
  name:
    "Network helper: a program's namespace has its places, its way out and its names, and goes without a trace",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const make = [
      "network 4097 4789 0 - 02:42:0a:01:00:03",
      "addresses 4097 10.1.0.1/24 10.1.0.3/32",
      "network 4098 4789 0 - -",
      "join one 10.1.0.1 10.1.0.1 4097@10.1.0.4/24 4098@10.2.0.4/24",
      "join two - - 4097@10.1.0.5/24",
      "rules node:4097:10.1.0.3 open:4097 closed:4098",
    ];
    const look =
      `${
        OWN("one")
      } sh -c 'ip -br addr; ip -br link; ip route; cat /proc/sys/net/ipv4/ip_unprivileged_port_start'; ` +
      `echo two; ${
        OWN("two")
      } ip route; cat /run/covey-names/covey-testnode-one; ${INSIDE} nft list ruleset; nft list ruleset`;
    const { answers, seen } = await ask([...make, ...make], look);
    assert.ok(answers.every((answer) => answer.startsWith("ok")), answers.join("\n"));
    assert.match(seen, /eth0@\S+ .*10\.1\.0\.4\/24[^]*eth1@\S+ .*10\.2\.0\.4\/24/);
    assert.match(seen, /02:42:0a:01:00:04/);
    assert.match(seen, /default via 10\.1\.0\.1 dev eth0[^]*\n0\n/);
    assert.doesNotMatch(seen.split("two\n")[1]!.split("nameserver")[0]!, /default/, "who has no way out");
    assert.match(seen, /nameserver 10\.1\.0\.1\noptions ndots:0/);
    assert.match(seen, /iifname "cvb1001" oifname != \{ "cvup", "cvb1001" \} drop/);
    assert.match(seen, /iifname "cvb1002" oifname != "cvb1002" drop/);
    assert.match(seen, /ip saddr 169\.254\.77\.2 masquerade/);
    const there = "ls /run/netns; ls /run/covey-names; ip -br link";
    const left = await ask([...make, "tasks two"], there);
    assert.match(left.seen, /covey-testnode-two/);
    assert.doesNotMatch(left.seen, /covey-testnode-one/);
    for (const end of [["part one", "part two", "part three", "leave"], ["leave"]]) {
      const gone = await ask([...make, ...end], there);
      assert.ok(gone.answers.every((answer) => answer.startsWith("ok")), gone.answers.join("\n"));
      assert.doesNotMatch(gone.seen, /covey-testnode|cv[plbx]/);
    }
  },
});

/** What the helper says of a host on which `change` was done before, in namespaces that go with it. */
async function probeAfter(change: string): Promise<string> {
  const script = `mount -t tmpfs none /usr/local/sbin; ${change}; echo probe 1 | "$0" serve testnode`;
  const { stdout } = await new Deno.Command("unshare", {
    args: ["--mount", "--net", "sh", "-c", script, HELPER],
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout).trim();
}

/** A program that fails at what has a word in its arguments, or on its input, and else is the real one. */
const failing = (program: string, word: string) =>
  `real=$(command -v ${program}); printf '#!/bin/sh\\ncase "$*" in *"${word}"*) exit 1 ;; esac\\nexec %s "$@"\\n' "$real" ` +
  `>/usr/local/sbin/${program}; chmod 755 /usr/local/sbin/${program}`;

Deno.test({
  name: "Network helper: what a host lacks is named, with where to get it",
  ignore: !isRoot, // programs are hidden by root only
  fn: async () => {
    const pi = "Ubuntu for Raspberry Pi has it in linux-modules-extra-raspi";
    const lacking: [string, string][] = [
      [":", "1 ok"],
      [
        "mount --bind /dev/null $(readlink -f $(command -v nft))",
        "1 error this host has no program nft (Debian: iproute2, nftables, util-linux)",
      ],
      [failing("ip", "type bridge"), "1 error this kernel has no bridges (module bridge)"],
      [failing("ip", "type vxlan"), `1 error this kernel has no VXLAN (module vxlan; ${pi})`],
      [failing("ip", "type macvlan"), `1 error this kernel has no macvlan (module macvlan; ${pi})`],
      [
        failing("nft", "numgen"),
        "1 error this kernel has no address translation by nft (modules nf_tables, nft_chain_nat, nft_numgen)",
      ],
    ];
    for (const [change, expected] of lacking) assert.equal(await probeAfter(change), expected, change);
  },
});

Deno.test({
  name: "Network helper: a carrier whose packets are too small is refused, with what it would leave",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const script = `ip link add eth0 mtu 620 type veth peer name far; ip addr add 192.0.2.9/24 dev eth0; ` +
      `ip link set eth0 up; echo network 1 4097 4789 0 192.0.2.1 - | "$0" serve testnode; ip -br link; ls /run/netns`;
    const { stdout } = await new Deno.Command("unshare", {
      args: ["--net", "sh", "-c", script, HELPER],
      stderr: "null",
    }).output();
    const said = new TextDecoder().decode(stdout);
    assert.match(said, /^1 error its carrier takes packets of 620 bytes, which leaves too little: 570/);
    assert.ok(!/cv[plbx]|covey-testnode/.test(said), said);
  },
});

Deno.test({
  name:
    "Network helper: what is to be relayed is led to the agent, which hears where each connection was to go",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const make = [
      "network 4097 4789 0 - 02:42:0a:01:00:03",
      "addresses 4097 10.1.0.1/24 10.1.0.3/32 10.1.0.7/32 10.1.0.9/32",
      "join one 10.1.0.1 10.1.0.1 4097@10.1.0.4/24",
      "rules node:4097:10.1.0.3 from:10.1.0.4:169.254.80.1 relay:10.1.0.7 vip:10.1.0.9:relay vip:10.1.0.8:10.1.0.4,relay,relay open:4097",
      "relayed 10.1.0.4 4711",
      "serve vip:10.1.0.8:relay",
    ];
    // A listener where the agent's is takes both, from where the asker is known by.
    const server =
      `${Deno.execPath()} eval 'const l = Deno.listen({ hostname: "169.254.77.1", port: 7754 }); console.log("up"); ` +
      `for (let i = 0; i < 2; i++) { const c = await l.accept(); console.log(c.remoteAddr.hostname, "from"); c.close(); }'`;
    const call = (to: string, from: number) =>
      `${
        OWN("one")
      } ${Deno.execPath()} eval 'await (await import("node:net")).connect({ host: "${to}", port: 81, localPort: ${from} }).on("close", () => {})'`;
    const asked = (from: number) => `echo relayed 1 10.1.0.4 ${from} | ${HELPER} serve testnode`;
    const look =
      `(${server}) & sleep 2; ${call("10.1.0.7", 4001)}; ${call("10.1.0.9", 4002)}; wait; ${asked(4001)}; ${
        asked(4002)
      }; ` +
      `${INSIDE} nft list chain ip covey vip_10_1_0_8`;
    const { answers, seen } = await ask(make, look);
    assert.deepEqual(answers.slice(0, 4), ["ok 1450", "ok", "ok", "ok"]);
    assert.equal(answers[4], "error nothing is known of a connection from 10.1.0.4 4711");
    assert.equal(answers[5], "ok");
    assert.match(
      seen,
      /up\n169\.254\.80\.1 from\n169\.254\.80\.1 from\n1 ok 10\.1\.0\.7 81\n1 ok 10\.1\.0\.9 81\n/,
    );
    assert.match(seen, /vip_10_1_0_8 \{\n\t+ip protocol tcp goto relay\n\t*\}/);
  },
});

/** Each must be refused, and none may do anything. */
const HOSTILE = [
  "network 4097 4789 0 - 02:42:0a:01:00:0g",
  "network 0 4789 0 - -",
  "network 16777216 4789 0 - -",
  "network 4097;id 4789 0 - -",
  "network $(touch${IFS}/tmp/covey-hostile) 4789 0 - -",
  "network 4097 70000 0 - -",
  "network 4097 4789 0 --help -",
  "network 4097 4789 0 a[$(id)] -",
  "network 4097 4789 99999999999999999999 - -",
  "network 4097",
  "network",
  "addresses 4097 10.0.0.1",
  "addresses 4097 10.0.0.1/33",
  "addresses 4097 10.0.0/24",
  "addresses 4097 10.0.0.256/24",
  "addresses 4097 010.0.0.1/24",
  "addresses 4097 /24",
  "addresses -1 10.0.0.1/24",
  "table 4097 10.0.0.1",
  "table 4097 10.0.0.1@",
  "table 4097 10.0.0.1@eth0",
  "table 4097 10.0.0.1@fd00::7",
  "table 4097 10.0.0.1@1.2.3.4@5",
  "table ../../etc/passwd 10.0.0.1@1.2.3.4",
  "rules vip:10.0.0.1:10.0.0.2;flush",
  "rules vip:10.0.0.1:10.0.0.2}",
  'rules vip:10.0.0.1:"x"',
  "rules vip:10.0.0.1:10.0.0.2,",
  "rules vip:10.0.0.1:,10.0.0.2",
  "rules vip:10.0.0.1:300.0.0.2",
  "rules port:icmp:80:80:10.0.0.2",
  "rules port:tcp:080:80:10.0.0.2",
  "rules port:tcp:80:65536:10.0.0.2",
  "rules node:4097:cvlink",
  "rules node:99999999:10.0.0.1",
  "rules dns:10.0.0.1:1",
  "rules from:10.0.0.1:192.0.2.1",
  "rules from:10.0.0.1:169.254.96.1",
  "rules include:10.0.0.1",
  "rules *",
  "serve",
  "serve node:4097:10.0.0.1",
  "serve dns:10.0.0.1",
  "serve from:10.0.0.1:169.254.80.1",
  "serve vip:10.0.0.1",
  "serve vip:10.0.0.1:10.0.0.2;flush",
  "serve vip:10.0.0.1:10.0.0.2}",
  "serve vip:10.0.0.1:300.0.0.2",
  "serve port:icmp:80:80:10.0.0.2",
  "askers vip:10.0.0.1:10.0.0.2",
  "askers from:10.0.0.1:192.0.2.1",
  "askers from:10.0.0.1:169.254.80.1;flush",
  "askers *",
  "make_rules serve",
  "near vip:10.1.0.9:10.1.0.5",
  "near at:1:10.1.0.4 port:tcp:80:80:10.1.0.5",
  "near at:0x1:10.1.0.4",
  "near at:../1:10.1.0.4",
  "near own:../task1:10.1.0.4",
  "near own:task1:10.1.0",
  "near own:task1:10.1.0.4 vip:10.1.0.9:relay",
  "near own:task1:10.1.0.4 vip:10.1.0.9:10.1.0.5;x",
  "near own:task1:10.1.0.4:x",
  "near own:task1:10.1.0.4:part:x",
  "load_near",
  "load_inside",
  "rules open:cvb1",
  "rules closed:99999999",
  "rules open:1:2",
  "join",
  "join one - -",
  "join one - - 4097@10.0.0.1/24",
  "join ../one - - 4097@10.0.0.1/24",
  "join -one - - 4097@10.0.0.1/24",
  "join a/b - - 4097@10.0.0.1/24",
  `join ${"a".repeat(129)} - - 4097@10.0.0.1/24`,
  "join one x - 4097@10.0.0.1/24",
  "join one - $(id) 4097@10.0.0.1/24",
  "join one - - 4097@10.0.0.1",
  "join one - - 4097@10.0.0.1/24@2/3",
  "join one - - 4097@10.0.0/24",
  "join one - - x@10.0.0.1/24",
  "part",
  "part ../testnode",
  "part .",
  "part one two",
  "tasks ../x",
  "place eth0 10.0.0.1/24",
  "need_task one",
  "rules relay:10.0.0",
  "rules relay:10.0.0.1:80",
  "rules port:tcp:80:80:relay",
  "rules vip:10.0.0.1:relay,x",
  "relayed 10.0.0.1",
  "relayed 10.0.0.1 70000",
  "relayed $(id) 80",
  "relayed 10.0.0.1 80 }",
  "keep all",
  "keep 4097 x",
  "run id",
  "exec /bin/sh",
  "is_number 1 2",
  "fail x",
  "ensure_space",
];

Deno.test("Network helper: each verb that takes words is tried with hostile ones", async () => {
  const script = await Deno.readTextFile(HELPER.replace(/network\.sh$/, "network_server.sh"));
  const verbs = /^ {4}(probe \| [a-z |]+)\) ;;$/m.exec(script)![1]!.split(" | ");
  const tried = new Set(HOSTILE.map((request) => request.split(" ", 1)[0]));
  assert.deepEqual(verbs.filter((verb) => !tried.has(verb)), ["probe", "leave"], "they take none");
});

Deno.test({
  name: "Network helper: nothing but numbers, addresses and its own words gets anywhere",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const look = "ip -br link; nft list ruleset; ls /tmp/covey-hostile 2>/dev/null; ls /run/netns";
    const { answers, seen } = await ask([...HOSTILE, "leave"], look);
    assert.equal(answers.length, HOSTILE.length + 1);
    for (const [at, request] of HOSTILE.entries()) assert.match(answers[at]!, /^error ./, request);
    assert.equal(answers.at(-1), "ok");
    assert.ok(!/cv[plbx]|covey-testnode|covey-hostile|table/.test(seen), seen);
  },
});

Deno.test({
  name: "Network helper: whatever is said, each line has one answer and nothing is made",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const word = fc.string({ unit: fc.constantFrom(..."a1.:,@/-$`;|&<>(){}[]\\'\"*?~!# é"), maxLength: 12 });
    const verb = fc.constantFrom(
      "network",
      "addresses",
      "table",
      "rules",
      "serve",
      "askers",
      "near",
      "keep",
      "join",
      "part",
      "tasks",
      "probe2",
      "",
    );
    const samples = fc.sample(fc.tuple(verb, fc.array(word, { minLength: 1, maxLength: 4 })), {
      numRuns: 300,
      seed: 7,
    });
    const requests = samples.map(([verb, words]) => `${verb || "x"} ${words.join(" ")}`.replaceAll("\n", ""));
    const { answers, seen } = await ask(requests, "ip -br link; nft list ruleset; ls /run/netns");
    assert.equal(answers.length, requests.length);
    assert.ok(!/cv[plbx]|covey-testnode|table/.test(seen), seen);
  },
});

Deno.test("Network helper: starts for nothing that is no node's ID", async () => {
  for (const node of ["", "../x", "a b", "A", "$(id)", "a".repeat(33)]) {
    const { code, stdout } = await new Deno.Command(HELPER, {
      args: ["serve", node],
      stdin: "null",
      stderr: "null",
    }).output();
    assert.equal(code, 2, node);
    assert.equal(stdout.length, 0);
  }
});

Deno.test({
  name: "Network helper: a namespace of which only the name is there, as its maker was killed, is made anew",
  ignore: !isRoot, // networks are made by root only
  fn: async () => {
    const names = "/run/netns/covey-testnode /run/netns/covey-testnode-t1";
    const { answers, seen } = await ask(
      ["rules", "network 4097 4789 0 - -", "join t1 - - 4097@10.1.0.4/24", "keep 4097", "leave"],
      `ls ${names} 2>/dev/null`,
      `mkdir -p /run/netns; touch ${names}`,
    );
    assert.deepEqual(answers, ["ok", "ok 1450", "ok", "ok", "ok"]);
    assert.equal(seen, "");
  },
});
