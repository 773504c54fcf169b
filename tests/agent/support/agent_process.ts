/** An agent as it runs on a device: started by its launcher, inside its sandbox. */
import { fileURLToPath } from "node:url";
import type { RealManager } from "./real_manager.ts";

export const LAUNCHER = fileURLToPath(new URL("../../../agent/launch.sh", import.meta.url));

export class AgentUnderTest {
  readonly stateDir: string;
  readonly #manager: RealManager;
  readonly #flags: string[];
  #child!: Deno.ChildProcess;

  constructor(manager: RealManager, flags: string[] = []) {
    this.stateDir = Deno.makeTempDirSync({ prefix: "covey-agent-test-" });
    this.#manager = manager;
    this.#flags = flags;
  }

  start(): void {
    const { address, token } = this.#manager;
    this.#child = new Deno.Command("sh", {
      args: [LAUNCHER, "--state-dir", this.stateDir, "--join", address, "--token", token, "--docker", "none"]
        .concat(this.#flags, "--exit-with-parent"),
      env: { COVEY_DENO: Deno.execPath() },
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#child.stdin.close().catch(() => {});
  }

  /** Leaves the cluster, which stops every task; resolves with the exit code. */
  async leave(): Promise<number> {
    const input = this.#child.stdin.getWriter();
    await input.write(new TextEncoder().encode("leave\n"));
    await input.close();
    const { code } = await this.#child.status;
    await Deno.remove(this.stateDir, { recursive: true });
    return code;
  }
}
