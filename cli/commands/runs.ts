/** The runs of jobs that devices run by the clock, as `service ps` shows them below the tasks. */
import type { ScheduledRun } from "../../api/schedule.ts";
import type { TaskView } from "../api_types.ts";
import { hostnames } from "../lookup.ts";
import type { ControlClient } from "../client.ts";
import { type Output, printList } from "../output.ts";

/** A run, and where it was. */
interface RunAt {
  node: string;
  run: ScheduledRun;
}

/** Prints the runs of `tasks`, the newest first; nothing where there is none. */
export async function printRuns(output: Output, client: ControlClient, tasks: TaskView[]): Promise<void> {
  const all = tasks.filter(({ Status }) => Status.Runs?.length);
  if (all.length === 0) return;
  const hosts = await hostnames(client);
  const runs = all.flatMap(({ NodeID = "", Status: { Runs = [] } }): RunAt[] =>
    Runs.map((run) => ({ node: hosts.get(NodeID) ?? NodeID, run }))
  ).sort((a, b) => b.run.Scheduled.localeCompare(a.run.Scheduled) || a.node.localeCompare(b.node));
  output.write("\n");
  printList(output, {}, runs, {
    header: ["RUN OF", "NODE", "STATE", "EXIT CODE", "TOOK", "WHY"],
    id: ({ run }) => run.Scheduled,
    row: ({ node, run }) => [
      run.Scheduled,
      node,
      run.State[0]!.toUpperCase() + run.State.slice(1),
      run.ExitCode === undefined ? "" : String(run.ExitCode),
      tookWords(run),
      run.Reason ? `"${run.Reason}"` : "",
    ],
  });
}

function tookWords({ StartedAt, EndedAt }: ScheduledRun): string {
  if (StartedAt === undefined || EndedAt === undefined) return "";
  return `${Math.max(0, Date.parse(EndedAt) - Date.parse(StartedAt)) / 1000} s`;
}
