/** Attacks on managers that run: programs that attack, what the managers show meanwhile, and what must hold. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type ManagerFleet, withManagers } from "../support/manager_fleet.ts";
import { Program } from "../support/programs.ts";

const ATTACKER = fileURLToPath(new URL("./attacker.ts", import.meta.url));

/** Most memory that an attacked manager may ever have had. */
export const MAX_RESIDENT_MB = 400;
/** How long each attack lasts, seconds. */
const ATTACK_SECONDS = 4;

/** Most memory that a process has had so far, MB. */
export function peakMB(pid: number): number {
  const [, kB = "0"] = /VmHWM:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`)) ?? [];
  return Number(kB) / 1000;
}

/** Starts an attack on an address or a socket. */
export function attack(name: string, target: string, seconds = ATTACK_SECONDS, folder?: string): Program {
  const flags = [name, target, String(seconds), ...(folder === undefined ? [] : [folder])];
  // Elsewhere it would not take the processor from those whom it attacks.
  return new Program("nice", ["-n", "19", Deno.execPath(), "run", "-A", ATTACKER, ...flags]);
}

/** What was asked of the API while something went on. */
interface Answers {
  count: number;
  failed: string[];
  slowestMs: number;
}

/** Asks again and again until `over`, a little apart. */
async function askDuring(over: Promise<unknown>, ask: () => Promise<unknown>): Promise<Answers> {
  const answers: Answers = { count: 0, failed: [], slowestMs: 0 };
  let going = true;
  over.finally(() => going = false);
  while (going) {
    const since = performance.now();
    try {
      await ask();
      answers.count++;
    } catch (error) {
      answers.failed.push(String(error));
    }
    answers.slowestMs = Math.max(answers.slowestMs, performance.now() - since);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return answers;
}

/** The manager under attack. */
export interface Target {
  pid: number;
  /** HOST:PORT or a socket's path. */
  address: string;
  /** Asks its API something. */
  ask: () => Promise<unknown>;
  /** State folder of the node whose certificate the attacker has; none: it has none. */
  folder?: string;
}

/**
 * Attacks: the API must go on answering, without an error, and the memory stay in bounds. How slow the slowest answer was is
 * printed, not judged: that depends on the machine.
 */
export async function besiege(name: string, { pid, address, ask, folder }: Target): Promise<void> {
  const attacker = attack(name, address, ATTACK_SECONDS, folder);
  const ended = attacker.ends();
  const answers = await askDuring(ended, ask);
  assert.equal(await ended, 0, attacker.output);
  const peak = peakMB(pid);
  console.log(
    `${attacker.output.trim()} in ${ATTACK_SECONDS} s; ${answers.count} answers, the slowest after ` +
      `${Math.round(answers.slowestMs)} ms; at most ${Math.round(peak)} MB so far`,
  );
  assert.deepEqual(answers.failed, []);
  assert.ok(answers.count > 0, "the API has not answered once");
  assert.ok(peak < MAX_RESIDENT_MB, `${Math.round(peak)} MB`);
}

/** Three managers, the first of which leads and is to be attacked: it must lead to the end, and nobody complain. */
export async function withTarget(
  test: (fleet: ManagerFleet, target: Target) => Promise<void>,
): Promise<void> {
  await withManagers({}, async (fleet) => {
    await fleet.start("m1");
    for (const name of ["m2", "m3"]) await fleet.start(name, { through: "m1" });
    await test(fleet, {
      pid: fleet.pid("m1"),
      address: fleet.address("m1"),
      ask: () => fleet.client("m1").get("/nodes"),
    });
    assert.equal(await fleet.leader("m2"), "m1");
    for (const name of ["m1", "m2", "m3"]) {
      const log = await Deno.readTextFile(`${fleet.folder}/${name}.txt`);
      assert.doesNotMatch(log, /\[fatal\]|\[error\]|Uncaught|panicked/);
    }
  });
}
