/** The stock client prints the same of our manager as of a real Docker Swarm, command by command. */
import assert from "node:assert/strict";
import { NO_ENGINE } from "../support/test_engine.ts";
import { type Answer, type Sides, withSides, words } from "../support/parity.ts";
import {
  API_ERRORS,
  CLIENT_COMMANDS,
  DIFFERENT_OUTPUT,
  EARLY,
  NOT_YET,
  PARITY_SCRIPT,
  REMOVE_ALL,
} from "./parity_script.ts";

/** Where clients of other versions may be installed. */
const CLIENTS = ["/usr/local/bin/docker", "/usr/bin/docker"];

/** Runs one command line on both sides at once; what differs comes back as text. */
async function compare(sides: Sides, line: string, args: string[], program?: string): Promise<string> {
  const [docker, covey] = await Promise.all([
    sides.docker.run(args, program),
    sides.covey.run(args, program),
  ]);
  const adapt = DIFFERENT_OUTPUT[line]?.adapt;
  if (adapt !== undefined) { for (const answer of [docker, covey]) answer.out = adapt(answer.out); }
  if (show(docker) === show(covey)) return "";
  return `\n=== ${program ?? "docker"} ${line}\n--- Docker: ${show(docker)}\n--- Covey: ${show(covey)}`;
}

function show({ code, out, err }: Answer): string {
  return `status ${code}\n${out}\n${err}`;
}

async function runScript(sides: Sides): Promise<string> {
  const seconds = (later = 0) => (Date.now() / 1000 + later).toFixed(3);
  const early = new Map(
    PARITY_SCRIPT.filter((line) => line.startsWith(EARLY))
      .map((line) => [line, compare(sides, line, words(line.slice(EARLY.length)))]),
  );
  let mark = seconds(), differences = "";
  for (const line of PARITY_SCRIPT) {
    const args = words(
      line.replace("$NODE", Deno.hostname()).replace("$MARK", mark)
        .replace("$SOON", seconds(0.5)),
    );
    const [verb, service, count] = args;
    if (verb === "mark") mark = seconds();
    else if (verb !== "settle") differences += await (early.get(line) ?? compare(sides, line, args));
    else await Promise.all(Object.values(sides).map((side) => side.settle(service!, Number(count))));
  }
  return differences;
}

Deno.test({
  name: "Docker parity: the stock client prints what it prints of Docker Swarm",
  ignore: NO_ENGINE !== "" || Deno.uid() !== 0, // a reason is in the variable; a network namespace needs root
  fn: (t) =>
    withSides(async (sides) => {
      await t.step("commands, line by line", async () => assert.equal(await runScript(sides), ""));
      await t.step("errors of the bare API", async () => {
        for (const [method, path, body] of API_ERRORS) {
          const [docker, covey] = await Promise.all(
            [sides.docker, sides.covey].map((side) =>
              side.call(method, path.replace("$NODE", Deno.hostname()), body)
            ),
          );
          assert.deepEqual(covey, docker, `${method} ${path}`);
        }
      });
      for (const client of CLIENTS) {
        const version = await new Deno.Command(client, { args: ["--version"] }).output().catch(() =>
          undefined
        );
        if (version === undefined) continue;
        await t.step(`client ${client}`, async () => {
          let differences = "";
          for (const line of CLIENT_COMMANDS) differences += await compare(sides, line, words(line), client);
          assert.equal(differences, "");
        });
      }
      await t.step("what is not there yet is refused by name", async () => {
        for (const [line, reason] of Object.entries(NOT_YET)) {
          const { code, err } = await sides.covey.run(words(line));
          assert.notEqual(code, 0, line);
          assert.match(err, reason, line);
          assert.equal((await sides.docker.run(words(line))).code, 0, `${line}: Docker does it`);
        }
      });
      for (const side of Object.values(sides)) await side.run(words(REMOVE_ALL));
    }),
});
