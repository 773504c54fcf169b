/** The agent beside a manager: a child process with its own sandbox, restarted whenever it ends by itself. */
import { getLogger } from "@logtape/logtape";
import { Backoff, type BackoffLimits } from "../../api/backoff.ts";
import { type Clock, sleep } from "../../api/clock.ts";
import { START_AGAIN } from "../../api/parent.ts";
import { inWords } from "../../api/duration.ts";
import type { ManagerOptions } from "./options.ts";

/** Waits before a restart: a broken agent must not spin, a mended one must not wait long. */
const RESTART_PAUSE: BackoffLimits = { minMs: 500, maxMs: 10_000 };
/** An agent that ran this long was well; its next failure starts at the first wait again. */
const HEALTHY_MS = 60_000;
/** Time for an orderly end before the agent is killed; its tasks go on either way. */
const STOP_GRACE_MS = 5_000;
/** Time to stop and remove every task, for a node that leaves: a task's own grace period is 10 s by default. */
const LEAVE_GRACE_MS = 60_000;

/** Where the agent's program is and what it is told. */
export interface AgentProcessOptions {
  launcher: string;
  args: string[];
  env: Record<string, string>;
  clock: Clock;
  /** What the manager's private keys are sealed with, if they are; handed over on the pipe, where nobody else sees it. */
  identityKey?: Uint8Array | undefined;
}

const logger = getLogger(["covey", "agent-process"]);

/** Kills a child that may have ended this moment. */
export function killIfThere(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch {
    // It has ended.
  }
}

/** The flags of the agent beside a manager: its own state, the manager's identity and host name. */
export function agentArguments(
  options: ManagerOptions,
  managers: readonly string[],
  dataPath: string | undefined,
): string[] {
  const { stateDir, hostname, labels, dockerSocket } = options;
  const args = ["--state-dir", `${stateDir}/agent`, "--identity", stateDir, "--join", managers.join(",")];
  if (hostname !== undefined) args.push("--hostname", hostname);
  if (dataPath !== undefined) args.push("--data-path-addr", dataPath);
  for (const [key, value] of Object.entries(labels)) args.push("--label", `${key}=${value}`);
  return [...args, "--docker", dockerSocket ?? "none", "--kept"];
}

/**
 * Keeps an agent running. The word `leave` on its standard input tells the agent to remove its tasks. The child's standard input is a pipe that this process holds open: when this process dies, however it
 * dies, the agent reads its end and exits too, so that the next manager starts the only agent on the state folder.
 */
export class AgentProcess {
  readonly #options: AgentProcessOptions;
  readonly #stop = new AbortController();
  #child: Deno.ChildProcess | undefined;
  #ended: Promise<void> | undefined;
  #leave = false;
  #identityKey: Uint8Array | undefined;
  /** Asks the running agent to end. */
  #end: (() => void) | undefined;
  /** It ends because it is to be started again. */
  #again = false;

  constructor(options: AgentProcessOptions) {
    this.#options = options;
    this.#identityKey = options.identityKey;
  }

  start(): void {
    this.#ended ??= this.#supervise();
  }

  /** Process ID of the running agent, for people who look. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts the agent again, because the private keys are sealed in another way; its tasks go on. */
  useIdentityKey(key: Uint8Array | undefined): void {
    this.#identityKey = key;
    this.#again ||= this.#end !== undefined;
    this.#end?.();
  }

  /** Ends the agent. Its tasks go on, unless the node leaves its cluster: then the agent removes them first. */
  async stop({ leave }: { leave: boolean }): Promise<void> {
    this.#leave = leave;
    this.#stop.abort();
    await this.#ended;
  }

  async #supervise(): Promise<void> {
    const { clock } = this.#options, { signal } = this.#stop;
    const backoff = new Backoff(RESTART_PAUSE);
    let code: number | undefined;
    // One that had just asked to be started again has not heard that it is to leave.
    while (!signal.aborted || (this.#leave && code === START_AGAIN)) {
      const started = clock.monotonic();
      code = undefined;
      try {
        code = await this.#runOnce(signal);
      } catch (error) {
        logger.error("Cannot run the agent of this node with {launcher}: {error}", {
          launcher: this.#options.launcher,
          error,
        });
      }
      if (signal.aborted) continue;
      if (this.#again || code === START_AGAIN) {
        this.#again = false;
        continue;
      }
      if (clock.monotonic() - started >= HEALTHY_MS) backoff.reset();
      const wait = backoff.next();
      logger.warn("The agent of this node does not run; starting it again in {pause}", {
        pause: inWords(wait),
      });
      await sleep(clock, wait, signal).catch(() => {});
    }
  }

  /** Resolves with the exit code. */
  async #runOnce(signal: AbortSignal): Promise<number> {
    const { launcher, args, env } = this.#options, key = this.#identityKey;
    const child = new Deno.Command(launcher, {
      args: [...args, ...(key ? ["--identity-sealed"] : []), "--exit-with-parent"],
      env,
      stdin: "piped",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    this.#child = child;
    const input = child.stdin.getWriter();
    if (key) input.write(new TextEncoder().encode(`${key.toBase64()}\n`)).catch(() => {});
    let cancelKill = () => {};
    // A word on the pipe and its end ask for an orderly end: signals would need the permission to run anything.
    const end = () => {
      if (this.#leave) input.write(new TextEncoder().encode("leave\n")).catch(() => {});
      input.close().catch(() => {});
      // It may be asked again while it ends.
      cancelKill();
      cancelKill = this.#options.clock.setTimer(
        this.#leave ? LEAVE_GRACE_MS : STOP_GRACE_MS,
        () => killIfThere(child),
      );
    };
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
    this.#end = end;
    const { code } = await child.status;
    this.#end = undefined;
    cancelKill();
    signal.removeEventListener("abort", end);
    if (!signal.aborted) await input.close().catch(() => {});
    this.#child = undefined;
    return code;
  }
}
