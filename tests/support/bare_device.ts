/** A device in a folder: busybox, util-linux's setpriv, the C library that Deno needs, a process tree and a boot of its own, and nothing else. */
import { ConsoleDevice } from "./console_device.ts";

/** A busy machine is slow, a device that does nothing never ends. */
const LIMIT_MS = 120_000;

/** What the folder's first program does: starts the services, as busybox's own does, then what is typed. */
const INIT = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin
/etc/init.d/rcS
echo the device is up
while read -r line; do eval "$line"; done
`;

const SERVICES = `#!/bin/sh
for script in /etc/init.d/S??*; do [ ! -x "$script" ] || "$script" start; done
`;

/** Puts into the folder of a device what it does when it boots. */
export async function writeInit(root: string, first = ""): Promise<void> {
  await Deno.writeTextFile(`${root}/init`, first + INIT);
  await Deno.mkdir(`${root}/etc/init.d`);
  await Deno.writeTextFile(`${root}/etc/init.d/rcS`, SERVICES, { mode: 0o755 });
}

/** Mounts what a device has of its own, in a mount namespace that ends with it. */
export const BOOT = `set -e
mount -t proc proc $1/proc
mount --rbind /dev $1/dev
cat /proc/sys/kernel/random/uuid >$1/boot_id
mount --bind $1/boot_id $1/proc/sys/kernel/random/boot_id
hostname "$2"
exec chroot $1 /bin/sh /init 2>&1
`;

/** One device of this machine's own kind. It shares the network with the test. */
export class BareDevice extends ConsoleDevice {
  /** Makes a device of that name in a new folder `root`, switched off. */
  static async make(root: string, name: string): Promise<BareDevice> {
    for (const folder of ["bin", "proc", "dev", "tmp", "run", "etc", "var"]) {
      await Deno.mkdir(`${root}/${folder}`, { recursive: true });
    }
    await Deno.copyFile("/bin/busybox", `${root}/bin/busybox`);
    for (const applet of (await outputOf("/bin/busybox", "--list")).split("\n")) {
      if (applet !== "" && applet !== "busybox") await Deno.symlink("busybox", `${root}/bin/${applet}`);
    }
    // The launchers look for programs where a system has them.
    await Deno.mkdir(`${root}/usr`);
    await Deno.symlink("../bin", `${root}/usr/bin`);
    // What changes a task's user: that of busybox cannot.
    await Deno.remove(`${root}/bin/setpriv`);
    await Deno.copyFile("/usr/bin/setpriv", `${root}/bin/setpriv`);
    for (
      const [path] of (await outputOf("ldd", Deno.execPath(), "/usr/bin/setpriv")).matchAll(/\/\S+(?= \()/g)
    ) {
      await Deno.mkdir(root + path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.copyFile(path, root + path);
    }
    await Deno.writeTextFile(`${root}/etc/passwd`, "root:x:0:0::/:/bin/sh\n");
    await writeInit(root);
    const args = [
      ...["--mount", "--pid", "--uts", "--fork", "--kill-child"],
      ...["/bin/sh", "-c", BOOT, "sh", root, name],
    ];
    return new BareDevice({ program: "unshare", args, limitMs: LIMIT_MS });
  }
}

async function outputOf(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(program, { args }).output();
  return new TextDecoder().decode(stdout);
}
