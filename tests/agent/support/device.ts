/** A device as a test can break it: a state folder on a disk of its own, power cuts, and boots that the system tells apart. */
import { Program } from "../../support/programs.ts";
import { LAUNCHER } from "./agent_process.ts";
import type { RealManager } from "./real_manager.ts";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

async function command(name: string, ...args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(name, { args, stdout: "null", stderr: "null" }).output();
  return success;
}

/** True where nobody may mount: a full disk and another boot need it. */
export async function cannotMount(): Promise<boolean> {
  return !await command("unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt");
}

/** An agent in its sandbox on a disk of `megabytes`. */
export class Device {
  readonly folder = Deno.makeTempDirSync({ prefix: "covey-device-test-" });
  readonly disk = `${this.folder}/disk`;
  readonly stateDir = `${this.disk}/agent`;
  agent!: Program;
  #boot = 0;

  static async make(megabytes: number): Promise<Device> {
    const device = new Device();
    await Deno.mkdir(device.disk);
    await command("mount", "-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", device.disk);
    return device;
  }

  /** Starts the agent in the present boot. */
  start(...flags: string[]): void {
    const boot = `${this.folder}/boot`;
    Deno.writeTextFileSync(boot, `00000000-0000-4000-8000-${String(this.#boot).padStart(12, "0")}\n`);
    const script = `mount --bind '${boot}' ${BOOT_ID} && exec sh '${LAUNCHER}' "$@"`;
    const args = ["-m", "sh", "-c", script, "sh", "--state-dir", this.stateDir, "--docker", "none", ...flags];
    this.agent = new Program("unshare", args);
  }

  join({ address, token }: RealManager): void {
    this.start("--join", address, "--token", token);
  }

  /** Ends everything at once; the next start is that of another boot. */
  async cutPower(): Promise<void> {
    await this.agent.end("SIGKILL");
    for (const pid of [...this.#pids(1), ...this.#pids(0)]) kill(pid);
    this.#boot++;
  }

  /** Programs of tasks that run. */
  running(): number[] {
    return this.#pids(1).filter((pid) => isAlive(pid));
  }

  /** Leaves no room at all. */
  fill(): void {
    using file = Deno.openSync(`${this.disk}/filler`, { create: true, write: true });
    for (const size of [64 * 1024, 4096]) {
      try {
        while (true) file.writeSync(new Uint8Array(size));
      } catch {
        // Full.
      }
    }
  }

  async close(): Promise<void> {
    await this.cutPower();
    await command("umount", "-l", this.disk);
    await Deno.remove(this.folder, { recursive: true });
  }

  /** Of the shims (line 0 of their records) or the programs (line 1), of the present boot. */
  #pids(line: number): number[] {
    const pids: number[] = [];
    for (const { name } of Deno.readDirSync(`${this.stateDir}/process/runs`)) {
      const text = Deno.readTextFileSync(`${this.stateDir}/process/runs/${name}`);
      const [boot, pid] = text.split("\n")[line]?.split(" ") ?? [];
      if (boot?.endsWith(String(this.#boot).padStart(12, "0")) && Number(pid) > 1) pids.push(Number(pid));
    }
    return pids;
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}
