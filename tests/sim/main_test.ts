import assert from "node:assert/strict";

const MAIN = new URL("./main.ts", import.meta.url);

for (const part of ["raft", "cluster"]) {
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
