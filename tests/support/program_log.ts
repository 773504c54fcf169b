import { LOG_STREAMS } from "../../api/logs.ts";
import { logName } from "../../executors/process/log_reader.ts";

/** Everything that a program has printed: its output, then its errors. */
export async function programLog(stateDir: string, id: string): Promise<string> {
  const names = LOG_STREAMS.map((stream) => logName(id, stream));
  return (await Promise.all(names.map((name) => Deno.readTextFile(`${stateDir}/logs/${name}`)))).join("");
}
