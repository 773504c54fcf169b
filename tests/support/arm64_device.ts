/** An emulated arm64 device with a kernel, a disk and a network of its own; `tests/support/arm64_device.sh make DIR` makes one. */
import { ConsoleDevice } from "./console_device.ts";

const NAMED = Deno.env.get("COVEY_TEST_ARM64") ?? "";
/** Where `arm64_device.sh` has made what is needed. */
export const ARM64_FOLDER = NAMED || "/tmp/arm64-device";

/** Why it is not used, so that a machine without it can run the rest; empty where a missing one is a failure. */
export const NO_ARM64 = NAMED || isThere() ? "" : `no emulated device is in ${ARM64_FOLDER}`;

/** The address at which the device, behind its NAT, finds this machine's loopback. */
export const HOST_FROM_DEVICE = "10.0.2.2";

/** An emulated processor has a tenth of a real one's speed, and less when all tests run at once. */
const LIMIT_MS = 300_000;

/** One device. It has no clock: at each start it believes that it is 2001. */
export class Arm64Device extends ConsoleDevice {
  /** A device with a fresh disk in `folder`, switched off. */
  static async make(folder: string): Promise<Arm64Device> {
    const disk = `${folder}/disk.ext4`;
    await Deno.copyFile(`${ARM64_FOLDER}/disk.ext4`, disk);
    const args = [
      ...["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024", "-nographic", "-no-reboot"],
      ...["-kernel", `${ARM64_FOLDER}/kernel`, "-initrd", `${ARM64_FOLDER}/initrd.gz`],
      ...["-append", "console=ttyAMA0 quiet panic=-1", "-rtc", "base=2001-02-03"],
      ...["-drive", `file=${disk},format=raw,if=none,id=disk`, "-device", "virtio-blk-pci,drive=disk"],
      ...["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="],
    ];
    return new Arm64Device({ program: "qemu-system-aarch64", args, limitMs: LIMIT_MS });
  }

  /** Starts the agent of the checkout that is on the disk, in the background, its log in /agent.log. */
  async startAgent(...flags: string[]): Promise<void> {
    const launch = ["sh", "/covey/agent/launch.sh", "--state-dir", "/var/lib/covey", "--docker", "none"];
    await this.run(`setsid ${[...launch, ...flags].join(" ")} >/agent.log 2>&1 </dev/null &`);
    await this.shows(/is connected/, "cat /agent.log");
  }
}

/** The file of its Deno, packed as npm has it. */
export async function arm64Deno(folder: string): Promise<string> {
  for await (const { name } of Deno.readDir(`${ARM64_FOLDER}/parts`)) {
    if (!/^deno-.*\.tgz$/.test(name)) continue;
    const args = [
      "-xzf",
      `${ARM64_FOLDER}/parts/${name}`,
      "-C",
      folder,
      "--strip-components=1",
      "package/deno",
    ];
    const { success } = await new Deno.Command("tar", { args }).output();
    if (success) return `${folder}/deno`;
  }
  throw new Error(`no Deno for arm64 is in ${ARM64_FOLDER}/parts`);
}

function isThere(): boolean {
  try {
    return Deno.statSync(`${ARM64_FOLDER}/disk.ext4`).isFile;
  } catch {
    return false;
  }
}
