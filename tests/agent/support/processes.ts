/** Programs on this machine by what was typed to start them, told apart by process ID and start time. */

/** `PID@START` of every process whose arguments are exactly `args`, zombies left out. */
export function processesOf(args: readonly string[]): string[] {
  const wanted = args.map((arg) => `${arg}\0`).join("");
  const found: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (Deno.readTextFileSync(`/proc/${name}/cmdline`) !== wanted) continue;
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      // The program's name, which may hold anything, stands in parentheses.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (fields[0] !== "Z") found.push(`${name}@${fields[19]}`);
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}
