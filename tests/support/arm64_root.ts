/** A bare arm64 Debian in a folder: the programs are arm64's, each translated as it runs; the kernel is this machine's. */
import assert from "node:assert/strict";
import { ARM64_FOLDER } from "./arm64_device.ts";
import { BOOT, writeInit } from "./bare_device.ts";
import { ConsoleDevice } from "./console_device.ts";

/** A translated processor is some times slower than a real one. */
const LIMIT_MS = 120_000;

/** Which files are programs of arm64 is known to this device alone, in a namespace of users; the translator is opened
 * at once (F) and told the program by the name that it was called by (P). */
const TRANSLATE = String.raw`set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
same='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
start='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
printf %s ":arm64:M::$start:$same:/usr/bin/qemu-aarch64-static:FP" >/proc/sys/fs/binfmt_misc/register
`;

/** One such device. It shares the network with the test. */
export class Arm64Root extends ConsoleDevice {
  /** Makes a device of that name in a new folder `root`, switched off. */
  static async make(root: string, name: string): Promise<Arm64Root> {
    const { success } = await new Deno.Command("cp", { args: ["-a", `${ARM64_FOLDER}/bare`, root] }).output();
    assert.ok(success, `there is no ${ARM64_FOLDER}/bare; make it with tests/support/arm64_device.sh`);
    await writeInit(root, "/bin/busybox --install -s\n");
    await Deno.symlink("busybox", `${root}/bin/sh`);
    await Deno.writeTextFile(`${root}/etc/passwd`, "root:x:0:0::/:/bin/sh\n");
    const args = [
      ...["--user", "--map-root-user", "--mount", "--pid", "--uts", "--fork", "--kill-child"],
      ...["/bin/sh", "-c", TRANSLATE + BOOT, "sh", root, name],
    ];
    return new Arm64Root({ program: "unshare", args, limitMs: LIMIT_MS });
  }
}
