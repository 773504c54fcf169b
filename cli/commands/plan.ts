/** `covey plan`: what a service's spec would change. */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import { parseExact, stringifyExact } from "../../api/exact_json.ts";
import type { ControlClient } from "../client.ts";
import { type Context, EXIT_CHANGES, withClient } from "../context.ts";
import { readAll } from "../files.ts";
import { planChanges, servicePlanText, type ServicePlanView } from "../service_plan.ts";

/** Bytes of the largest spec that is read: as much as a request may have. */
const MAX_SPEC_BYTES = 4 * 1024 * 1024;

/** Adds the `plan` command. */
export function planCommand(program: Command, context: Context): void {
  program.command("plan")
    .description("Show what a service's spec would change, which tasks and where; exit code 2 if it does")
    .requiredOption("-f, --file <file>", "the spec as the API takes it, JSON; - for standard input")
    .option("--format <format>", '"json"')
    .action((options: { file: string; format?: string }, command) =>
      withClient(context, command, async (client) => {
        await showPlan(client, context, await readSpec(options.file), options.format);
      })
    );
}

async function readSpec(path: string): Promise<unknown> {
  const text = new TextDecoder().decode(await readAll(path, MAX_SPEC_BYTES));
  try {
    return parseExact(text);
  } catch (thrown) {
    throw new CoveyError("invalid_argument", `Cannot read the spec in ${path}: ${(thrown as Error).message}`);
  }
}

/** Shows what submitting `spec` would do, and says by the exit code whether that is anything. */
export async function showPlan(
  client: ControlClient,
  context: Context,
  spec: unknown,
  format?: string,
): Promise<void> {
  const plan = await client.post<ServicePlanView>("/services/plan", spec);
  context.output.write(format === "json" ? `${stringifyExact(plan, 2)}\n` : servicePlanText(plan));
  if (planChanges(plan)) context.exitCode = EXIT_CHANGES;
}
