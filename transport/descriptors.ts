/** How many descriptors the process may have. When they run out, nobody gets in and no file opens: limits stay below. */

/** Named by the launchers, who ask the system: a sandboxed program may not. */
const DESCRIPTORS_VARIABLE = "COVEY_DESCRIPTORS";

/** What a process has unless somebody says otherwise. */
const DEFAULT_DESCRIPTORS = 1024;

/** Kept for files, pipes to programs, connections to others and sockets that come all at once. */
const RESERVED_DESCRIPTORS = 192;

/** Share of the control socket in the rest; the nodes' listener has what it leaves. */
const CONTROL_SHARE = 1 / 4;

/** What is said about the limit; anything but a number is the system's usual. */
export function parseDescriptors(text: string | undefined): number {
  if (text === "unlimited") return Infinity;
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : DEFAULT_DESCRIPTORS;
}

/** Descriptors that the listener for nodes and the control socket may each have of `limit`. */
export function shareDescriptors(limit: number): { nodes: number; control: number } {
  const rest = Math.max(64, limit - RESERVED_DESCRIPTORS);
  return { nodes: Math.floor(rest * (1 - CONTROL_SHARE)), control: Math.floor(rest * CONTROL_SHARE) };
}

/** The same for this process. */
export async function ownDescriptors(): Promise<{ nodes: number; control: number }> {
  const { state } = await Deno.permissions.query({ name: "env", variable: DESCRIPTORS_VARIABLE });
  return shareDescriptors(
    parseDescriptors(state === "granted" ? Deno.env.get(DESCRIPTORS_VARIABLE) : undefined),
  );
}
