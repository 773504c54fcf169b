/** What the kernel says of a process's memory (Linux), in kB of 1,024 bytes. */

/** Resident, its share of that, and what nobody else has. */
export interface Memory {
  rss: number;
  pss: number;
  own: number;
}

/** All zero for one that has ended. */
export function memoryOf(pid: number): Memory {
  const text = readText(`/proc/${pid}/smaps_rollup`);
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  return { rss: field("Rss"), pss: field("Pss"), own: field("Private_Clean") + field("Private_Dirty") };
}

export function sumOf(pids: readonly number[]): Memory {
  const sum = { rss: 0, pss: 0, own: 0 };
  for (const { rss, pss, own } of pids.map(memoryOf)) {
    sum.rss += rss;
    sum.pss += pss;
    sum.own += own;
  }
  return sum;
}

/** Processes whose command line has all of these words in it. */
export function processesWith(...words: string[]): number[] {
  return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => {
    const line = pid > 0 ? readText(`/proc/${pid}/cmdline`) : "";
    return line !== "" && words.every((word) => line.includes(word));
  });
}

export function inWords({ rss, pss, own }: Memory): string {
  return `${rss} kB resident, ${pss} proportional, ${own} private`;
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
