/**
 * What an idle agent with ten process tasks takes: resident memory after joining and after a restart, processor time, and
 * system calls that write to files (needs Linux and strace). With the tests' Docker Engine, if one runs and
 * `COVEY_SKIP_ENGINE` is not set.
 *
 *   deno run -A bench/agent_idle.ts [SECONDS=60]
 */
import {
  fileWrites,
  IDLE_ENGINE,
  type IdleAgent,
  pass,
  processorSeconds,
  residentKB,
  withIdleAgent,
  writtenBytes,
} from "../tests/support/idle_agent.ts";

const seconds = Number(Deno.args[0] ?? 60);

function printMemory(when: string, pid: number): void {
  const [all, own, files] = (["VmRSS", "RssAnon", "RssFile"] as const).map((field) => residentKB(pid, field));
  console.log(`resident memory ${when}: ${all} kB (anonymous ${own}, files ${files})`);
}

async function measure(agent: IdleAgent): Promise<void> {
  printMemory("after joining", agent.pid());
  await agent.restart();
  const pid = agent.pid();
  printMemory("after a restart", pid);
  const used = processorSeconds(pid), written = writtenBytes(pid);
  await pass(seconds * 1000);
  const percent = (processorSeconds(pid) - used) / seconds * 100;
  console.log(`processor time in ${seconds} s idle: ${percent.toFixed(2)} % of a core`);
  console.log(`bytes written to disk in ${seconds} s idle: ${writtenBytes(pid) - written}`);
  const calls = await fileWrites(pid, seconds * 1000);
  console.log(
    `system calls that write to files in ${seconds} s idle: ${calls?.length ?? "unknown, no strace"}`,
  );
  for (const call of calls ?? []) console.log(`  ${call}`);
  printMemory("at the end", pid);
}

console.log(`container engine: ${IDLE_ENGINE}`);
await withIdleAgent(IDLE_ENGINE, measure);
