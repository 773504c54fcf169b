/** `covey doctor` */
import type { Command } from "commander";
import { CoveyError } from "../../api/errors.ts";
import type { InfoView } from "../api_types.ts";
import { type Context, withClient } from "../context.ts";
import { knownManagers } from "../device_checks.ts";
import { agentSandbox, diagnose, type Finding } from "../doctor.ts";
import { table } from "../output.ts";

/** Adds the `doctor` command. */
export function doctorCommand(program: Command, context: Context): void {
  program.command("doctor").description("Check this device, the manager in reach, and the agent's sandbox")
    .option("--state-dir <dir>", "the agent's state folder", "/var/lib/covey")
    .option("--docker <socket>", "the engine's socket", "/var/run/docker.sock")
    .option("--join <host:port,...>", "managers that the agent joins (default: those that it knows)")
    .option("--format <format>", '"json" or "table"')
    .action(async (options, command) => {
      const join: string[] = options.join?.split(",") ?? await knownManagers(options.stateDir);
      const findings = await diagnose({
        dockerSocket: options.docker,
        stateDir: options.stateDir,
        join,
        nowMs: context.output.nowMs(),
      });
      findings.push(
        await withClient(
          context,
          command,
          (client) => manager(client.host, () => client.get<InfoView>("/info")),
        ),
      );
      const sandbox = await agentSandbox([
        "--state-dir",
        options.stateDir,
        "--docker",
        options.docker,
        "--join",
        join.join(","),
      ]);
      if (options.format === "json") {
        context.output.write(`${JSON.stringify({ findings, sandbox }, null, 2)}\n`);
      } else context.output.write(report(findings, sandbox));
      const failed = findings.filter((finding) => finding.level === "fail").length;
      if (failed > 0) {
        throw new CoveyError("failed_precondition", `${failed} of ${findings.length} checks failed`);
      }
    });
}

async function manager(host: string, info: () => Promise<InfoView>): Promise<Finding> {
  try {
    const { Swarm, ServerVersion } = await info();
    const role = Swarm.ControlAvailable ? "manager" : "worker";
    return {
      check: "manager",
      level: "ok",
      found: `${host}: ${ServerVersion}, swarm ${Swarm.LocalNodeState} (${role})`,
    };
  } catch (thrown) {
    return {
      check: "manager",
      level: "warn",
      found: (thrown as Error).message,
      remedy: "name one with -H unix:///path/to/covey.sock",
    };
  }
}

function report(findings: Finding[], sandbox: string[]): string {
  const rows = findings.map((
    { check, level, found, remedy },
  ) => [level.toUpperCase(), check, found, remedy ?? ""]);
  return `${
    table(["", "CHECK", "FOUND", "WHAT TO DO"], rows)
  }\nThe agent's sandbox (everything else is refused):\n${
    sandbox.map((permission) => `  ${permission}\n`).join("")
  }`;
}
