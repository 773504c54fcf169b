/** The stock client prints the same of our manager as of a real Docker Swarm, command by command. */
import assert from "node:assert/strict";
import { NO_ENGINE } from "../support/test_engine.ts";
import { type Answer, type Side, type Sides, withSides, words } from "../support/parity.ts";
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
  return difference(line, docker, covey, program);
}

function difference(line: string, docker: Answer, covey: Answer, program = "docker"): string {
  const adapt = DIFFERENT_OUTPUT[line]?.adapt;
  if (adapt !== undefined) { for (const answer of [docker, covey]) answer.out = adapt(answer.out); }
  if (show(docker) === show(covey)) return "";
  return `\n=== ${program} ${line}\n--- Docker: ${show(docker)}\n--- Covey: ${show(covey)}`;
}

function show({ code, out, err }: Answer): string {
  return `status ${code}\n${out}\n${err}`;
}

/** All lines that print something, by their place in the script. */
async function runSide(side: Side): Promise<Map<number, Answer>> {
  const seconds = (later = 0) => (Date.now() / 1000 + later).toFixed(3);
  const node = Deno.hostname(), answers = new Map<number, Answer>();
  const early = Promise.all(PARITY_SCRIPT.map(async (line, at) => {
    if (line.startsWith(EARLY)) answers.set(at, await side.run(words(line.slice(EARLY.length))));
  }));
  let mark = seconds();
  for (const [at, line] of PARITY_SCRIPT.entries()) {
    if (line.startsWith(EARLY)) continue;
    const args = words(
      line.replace("$NODE", node).replace("$MARK", mark).replace("$SOON", seconds(0.5)),
    );
    const [verb, service, count] = args;
    if (verb === "mark") mark = seconds();
    else if (verb === "settle") await side.settle(service!, Number(count));
    else answers.set(at, await side.run(args));
  }
  await early;
  return answers;
}

/** Neither side waits for the other between lines. */
async function runScript({ docker, covey }: Sides): Promise<string> {
  const [theirs, ours] = await Promise.all([runSide(docker), runSide(covey)]);
  const places = [...theirs.keys()].sort((a, b) => a - b);
  return places.map((at) => difference(PARITY_SCRIPT[at]!, theirs.get(at)!, ours.get(at)!)).join("");
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
