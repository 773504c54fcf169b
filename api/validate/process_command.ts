/** The program of a process task, checked alike where a service is submitted and where it is run. */

/** What is wrong with a program's name; undefined if nothing is. A path is absolute: whose folder would it start from? */
export function commandProblem(command: string): string | undefined {
  if (!command.includes("/") || command.startsWith("/")) return undefined;
  return `must be an absolute path or a name without slash: ${command}`;
}
