import assert from "node:assert/strict";

const MAIN = new URL("./main.ts", import.meta.url);

for (const part of ["raft", "cluster", "fleet"]) {
  Deno.test(`Simulation: the command replays one seed, ${part}`, async () => {
    const args = ["run", "-A", "--quiet", MAIN.href, part, "--seed", "7", "--workers", "1"];
    const { code, stdout } = await new Deno.Command(Deno.execPath(), { args }).output();
    const text = new TextDecoder().decode(stdout);
    assert.equal(code, 0, text);
    assert.match(
      text,
      /^commit \S+, seeds from 7\n\d+ s, \w+: 1 seeds, .* simulated hours, .*\nno violation\n$/,
    );
  });
}

for (
  const [args, status, shown] of [
    [["--help"], 0, /^usage: deno task sim /],
    [["--sed", "7"], 2, /'--sed'.*\nusage: deno task sim /],
    [["--seeds", "many"], 2, /^--seeds: want a number of at least 0, not "many"\nusage: /],
    [["wrft"], 2, /^usage: deno task sim \[raft \| cluster \| fleet\]/],
  ] as const
) {
  Deno.test(`Simulation: the command says how it is used after ${args.join(" ")}`, async () => {
    const all = ["run", "-A", "--quiet", MAIN.href, ...args];
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: all }).output();
    assert.equal(code, status);
    assert.match(new TextDecoder().decode(status === 0 ? stdout : stderr), shown);
  });
}
