/** An emulated arm64 device with a kernel, a disk and a network of its own; `tests/support/arm64_device.sh make DIR` makes one. */
import { eventually } from "./programs.ts";

const NAMED = Deno.env.get("COVEY_TEST_ARM64") ?? "";
const FOLDER = NAMED || "/tmp/arm64-device";

/** Why it is not used, so that a machine without it can run the rest; empty where a missing one is a failure. */
export const NO_ARM64 = NAMED || isThere() ? "" : `no emulated device is in ${FOLDER}`;

/** The address at which the device, behind its NAT, finds this machine's loopback. */
export const HOST_FROM_DEVICE = "10.0.2.2";

/** An emulated processor has a tenth of a real one's speed, and less when all tests run at once. */
const LIMIT_MS = 300_000;

/** One device; its console is a shell. */
export class Arm64Device {
  /** Everything the console has shown since the last start. */
  output = "";
  readonly #disk: string;
  #machine: Deno.ChildProcess | undefined;
  #console: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #copy: Promise<void> = Promise.resolve();
  #commands = 0;
  #ended = false;

  private constructor(disk: string) {
    this.#disk = disk;
  }

  /** A device with a fresh disk in `folder`, switched off. */
  static async make(folder: string): Promise<Arm64Device> {
    const disk = `${folder}/disk.ext4`;
    await Deno.copyFile(`${FOLDER}/disk.ext4`, disk);
    return new Arm64Device(disk);
  }

  /** Starts the machine. It has no clock: each time it believes that it is 2001. */
  async switchOn(): Promise<void> {
    this.output = "";
    this.#ended = false;
    this.#machine = new Deno.Command("qemu-system-aarch64", {
      args: [
        ...["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot"],
        ...["-kernel", `${FOLDER}/kernel`, "-initrd", `${FOLDER}/initrd.gz`],
        ...["-append", "console=ttyAMA0 quiet panic=-1", "-rtc", "base=2001-02-03"],
        ...[
          "-drive",
          `file=${this.#disk},format=raw,if=none,id=disk`,
          "-device",
          "virtio-blk-pci,drive=disk",
        ],
        ...["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#console = this.#machine.stdin.getWriter();
    const { stdout, stderr } = this.#machine;
    this.#copy = Promise.all([stdout, stderr].map((stream) => this.#read(stream))).then(() => {
      this.#ended = true;
    });
    await this.#shows(/the device is up/);
  }

  /** Runs a command line on the device; returns what it printed. */
  async run(command: string): Promise<string> {
    const mark = `end ${++this.#commands}`, from = this.output.length;
    await this.#console!.write(new TextEncoder().encode(`${command}\necho "${mark}"\n`));
    await this.#shows(new RegExp(`${mark}\r?\n`), from);
    return this.output.slice(from, this.output.lastIndexOf(mark));
  }

  /** Polls until a command prints what matches. */
  async shows(pattern: RegExp, command: string): Promise<void> {
    let last = "";
    await eventually(
      `${command} shows ${pattern}`,
      async () => {
        last = await this.run(command);
        return pattern.test(last);
      },
      () => last,
      LIMIT_MS,
    );
  }

  /** Starts the agent in the background, its log in /agent.log. */
  async startAgent(...flags: string[]): Promise<void> {
    const line = [
      "sh",
      "/covey/agent/launch.sh",
      "--state-dir",
      "/var/lib/covey",
      "--docker",
      "none",
      ...flags,
    ];
    await this.run(`setsid ${line.join(" ")} >/agent.log 2>&1 </dev/null &`);
    await this.shows(/is connected/, "cat /agent.log");
  }

  /** Cuts the power: nothing is flushed, nobody is told. */
  async cutPower(): Promise<void> {
    if (this.#machine === undefined) return;
    if (!this.#ended) this.#machine.kill("SIGKILL");
    await this.#machine.status;
    await this.#console?.abort().catch(() => {});
    await this.#copy;
    this.#machine = undefined;
  }

  async #shows(pattern: RegExp, from = 0): Promise<void> {
    const seen = () => this.output.slice(from);
    await eventually(
      `the console shows ${pattern}`,
      () => {
        if (this.#ended) throw new Error(`the machine went off without showing ${pattern}:\n${this.output}`);
        return Promise.resolve(pattern.test(seen()));
      },
      seen,
      LIMIT_MS,
    );
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output += text;
  }
}

function isThere(): boolean {
  try {
    return Deno.statSync(`${FOLDER}/disk.ext4`).isFile;
  } catch {
    return false;
  }
}
