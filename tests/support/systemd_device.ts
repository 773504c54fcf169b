/** A device with a systemd of its own: this machine's programs over an overlay, in namespaces that end with it. */
import { showsOn } from "./console_device.ts";
import { eventually, Program } from "./programs.ts";

/** A busy machine is slow, a device that does nothing never ends. */
const LIMIT_MS = 120_000;

/** Enters a control group of its own, which is all that the device sees of those of the machine. */
const GROUP = `set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/groups" "$1/upper" "$1/work" "$1/root"
mount -t cgroup2 cgroup "$1/groups"
mkdir -p "$1/groups/$4"
echo $$ >"$1/groups/$4/cgroup.procs"
umount "$1/groups"
exec unshare --mount --pid --uts --ipc --cgroup --fork --kill-child sh -c "$5" sh "$1" "$2" "$3"
`;

/** Becomes systemd; what the machine itself runs is left out. */
const BOOT = `set -e
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount -t sysfs sys sys
mount -t cgroup2 cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs run run
mount -t tmpfs tmp tmp
rm -rf etc/systemd/system/*.wants opt/covey etc/covey var/lib/covey
echo "$2" >etc/hostname
mkdir bundle
mount --bind "$3" bundle
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot . /lib/systemd/systemd --system --unit=basic.target
`;

/** Removes the control group $2 with all below it, once what was in it is gone. */
const CLEAR = `mount -t cgroup2 cgroup "$1" && find "$1/$2" -depth -type d -exec rmdir {} +`;

/** One device. It shares the network with the test. */
export class SystemdDevice {
  readonly #unshare: Program;
  readonly #folder: string;
  readonly #group: string;

  private constructor(unshare: Program, folder: string, group: string) {
    this.#unshare = unshare;
    this.#folder = folder;
    this.#group = group;
  }

  /** Boots a device of that name in the empty folder `folder`; `bundles` is at /bundle there. */
  static async boot(folder: string, name: string, bundles: string): Promise<SystemdDevice> {
    await Deno.mkdir(folder);
    const group = `covey-test-${crypto.randomUUID()}`;
    const args = ["--mount", "sh", "-c", GROUP, "sh", folder, name, bundles, group, BOOT];
    const device = new SystemdDevice(new Program("unshare", args), folder, group);
    await device.shows(/^(running|degraded)$/m, "systemctl is-system-running");
    return device;
  }

  /** Runs a command line on the device; returns what it printed. */
  async run(command: string): Promise<string> {
    const init = await this.#init();
    if (init === undefined) return "";
    const { stdout } = await new Deno.Command("nsenter", {
      args: [
        ...["-t", init, "-m", "-p", "-u", "-i", "-C", "chroot", `${this.#folder}/root`],
        ...[
          "env",
          "-i",
          "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "NO_COLOR=1",
          "sh",
          "-c",
          `exec 2>&1; ${command}`,
        ],
      ],
      stderr: "null",
    }).output();
    return new TextDecoder().decode(stdout);
  }

  /** Polls until a command prints what matches. */
  shows(pattern: RegExp, command: string): Promise<void> {
    return showsOn((line) => this.run(line), pattern, command, LIMIT_MS);
  }

  /** Cuts the power. */
  async cutPower(): Promise<void> {
    await this.#unshare.end("SIGKILL");
    const args = ["--mount", "sh", "-c", CLEAR, "sh", this.#folder, this.#group];
    await eventually("its control groups are empty", async () => {
      const { success } = await new Deno.Command("unshare", { args, stdout: "null", stderr: "null" })
        .output();
      return success;
    });
  }

  /** The first process of its tree, as this machine numbers it; undefined until there is one. */
  async #init(): Promise<string | undefined> {
    const { pid } = this.#unshare;
    const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`).catch(() => "");
    return children.split(" ").find((child) => child !== "");
  }
}
