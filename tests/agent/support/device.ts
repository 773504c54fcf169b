/** A device as a test can break it: a state folder on a disk of its own, power cuts, and boots that the system tells apart. */
import { eventually, Program } from "../../support/programs.ts";
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

/** True where no file can be a disk: only a real file system loses what was not synced. */
export async function cannotMountCards(): Promise<boolean> {
  return await cannotMount() || !await command("sh", "-c", "command -v mkfs.ext4 && losetup -f");
}

/** An agent in its sandbox on a disk of `megabytes`. */
export class Device {
  /** The card's bytes, where the disk is one. */
  #card: string | undefined;
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

  /** One whose disk is a card: what was not synced when power is cut is lost. */
  static async withCard(megabytes: number): Promise<Device> {
    const device = new Device();
    await Deno.mkdir(device.disk);
    device.#card = `${device.folder}/card-0`;
    await command("truncate", "-s", `${megabytes}M`, device.#card);
    if (!await command("mkfs.ext4", "-q", device.#card)) throw new Error("Cannot make a file system");
    await device.#mountCard();
    return device;
  }

  /** Has what was written so far go to the disk, as it does by itself after some seconds. */
  sync(): Promise<boolean> {
    return command("sync", "-f", this.disk);
  }

  /** Where set, the next agent finds a disk that cannot be written, as one is once it has failed. */
  isReadOnly = false;

  /** Starts the agent in the present boot. */
  start(...flags: string[]): void {
    const boot = `${this.folder}/boot`;
    Deno.writeTextFileSync(boot, `00000000-0000-4000-8000-${String(this.#boot).padStart(12, "0")}\n`);
    const readOnly =
      `mount --bind '${this.disk}' '${this.disk}' && mount -o remount,bind,ro '${this.disk}' && `;
    const script = `${
      this.isReadOnly ? readOnly : ""
    }mount --bind '${boot}' ${BOOT_ID} && exec sh '${LAUNCHER}' "$@"`;
    const args = ["-m", "sh", "-c", script, "sh", "--state-dir", this.stateDir, "--docker", "none", ...flags];
    this.agent = new Program("unshare", args);
  }

  join({ address, token }: RealManager): void {
    this.start("--join", address, "--token", token);
  }

  /** Ends everything at once; the next start is that of another boot. */
  async cutPower(): Promise<void> {
    const ended = this.agent.end("SIGKILL");
    let left: number[] = [];
    // Whoever was being started while this looked is met by the next look.
    await eventually("everything has ended", () => {
      left = this.#everything();
      left.forEach(kill);
      return Promise.resolve(left.length === 0);
    }, () => left.map(described).join("\n"));
    await ended;
    this.#boot++;
    if (this.#card) await this.#loseUnsynced();
  }

  /** Processes of the device that run a program, whoever knows of them. */
  programs(path: string): number[] {
    return this.#everything().filter((pid) => {
      try {
        return Deno.readTextFileSync(`/proc/${pid}/cmdline`).startsWith(`${path}\0`);
      } catch {
        return false;
      }
    });
  }

  /** Everything that runs on the device: what was started with its folder, or works in it. */
  #everything(): number[] {
    return [...Deno.readDirSync("/proc")].map(({ name }) => Number(name)).filter((pid) => {
      if (!(pid > 1) || pid === Deno.pid) return false;
      try {
        return Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes(this.folder) ||
          Deno.readLinkSync(`/proc/${pid}/cwd`).startsWith(this.folder);
      } catch {
        return false;
      }
    });
  }

  /** Goes on with what the card holds now; what the system still has in memory does not reach it any more. */
  async #loseUnsynced(): Promise<void> {
    const before = this.#card!;
    this.#card = `${this.folder}/card-${this.#boot}`;
    if (!await command("cp", "--sparse=always", before, this.#card)) throw new Error("Cannot copy the card");
    await command("umount", "-l", this.disk);
    await Deno.remove(before);
    await this.#mountCard();
  }

  async #mountCard(): Promise<void> {
    if (!await command("mount", "-o", "loop", this.#card!, this.disk)) {
      throw new Error("Cannot mount the card");
    }
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

function described(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/stat`) + Deno.readTextFileSync(`/proc/${pid}/cmdline`);
  } catch {
    return `${pid} has ended`;
  }
}

function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return false;
  }
}
