#!/usr/bin/env bash
# Makes a device of another kind: an arm64 machine in qemu with a Linux kernel of its own, a disk of its own, and nothing
# on it but busybox, the C library, Deno and this checkout (in /covey). Debian's packages qemu-system-arm and qemu-user-static
# must be there; what the device consists of is fetched from Debian and npm into DIR/parts, and nothing is installed.
#   arm64_device.sh make DIR     makes DIR/kernel, DIR/initrd.gz and DIR/disk.ext4, and DIR/bare, which has the C library and busybox
#                                only; a second time without the network
set -euo pipefail
[ "${1-}" = make ] && [ -n "${2-}" ] || { echo "usage: arm64_device.sh make DIR" >&2; exit 2; }
mkdir -p "$2"
dir=$(cd -- "$2" && pwd -P)
source=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
deno_version=2.9.5
disk_size=400M
# What the kernel needs for its bus, its network and its disk, with what these need.
modules='virtio_pci virtio_net virtio_blk'

fetch_parts() {
  local kernel name
  mkdir -p "$dir/parts"
  cd "$dir/parts"
  if [ ! -e debian ]; then
    dpkg --print-foreign-architectures | grep -qx arm64 || dpkg --add-architecture arm64
    apt-get update -qq
    kernel=$(apt-cache depends linux-image-cloud-arm64:arm64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
    for name in libc6:arm64 libgcc-s1:arm64 busybox-static:arm64 "$kernel"; do
      apt-get download -qq -o APT::Sandbox::User=root "$name"
    done
    touch debian
  fi
  compgen -G 'deno-*.tgz' >/dev/null || npm pack --silent "@deno/linux-arm64-glibc@$deno_version" >/dev/null
  cd "$source"
}

# load MODULE: puts a module and those it depends on into the initial file system, in the order of loading.
load() {
  local file needed
  [ ! -e "$dir/initrd/lib/$1.ko" ] || return 0
  file=$(find "$dir/kernel-package/lib/modules" -name "$1.ko")
  cp "$file" "$dir/initrd/lib/"
  for needed in $(tr '\0' '\n' <"$file" | sed -n 's/^depends=//p' | tr , ' '); do load "$needed"; done
  echo "/bin/busybox insmod /lib/$1.ko"
}

make_kernel() {
  local module
  mkdir -p "$dir/kernel-package" "$dir/initrd"/{bin,lib,dev,root}
  dpkg-deb -x "$dir"/parts/linux-image-*.deb "$dir/kernel-package"
  cp "$dir"/kernel-package/boot/vmlinuz-* "$dir/kernel"
  cp "$dir/root/bin/busybox" "$dir/initrd/bin/"
  {
    echo '#!/bin/busybox sh'
    for module in $modules; do load "$module"; done
    echo '/bin/busybox mount -t devtmpfs dev /dev'
    echo '/bin/busybox mount -t ext4 /dev/vda /root'
    echo '/bin/busybox mount -t devtmpfs dev /root/dev'
    echo 'exec /bin/busybox switch_root /root /bin/busybox sh /init'
  } >"$dir/initrd/init"
  chmod +x "$dir/initrd/init"
  (cd "$dir/initrd" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$dir/initrd.gz"
}

make_root() {
  local part
  mkdir -p "$dir/root"/{bin,sbin,usr/bin,usr/sbin,proc,sys,dev,tmp,etc/covey,run,var/lib,covey}
  # Busybox has nothing by which each task could get a user of its own.
  echo 0:0 >"$dir/root/etc/covey/user"
  for part in libc6 libgcc-s1 busybox-static; do dpkg-deb -x "$dir"/parts/${part}_*.deb "$dir/root"; done
  rm -rf "$dir"/root/usr/share "$dir"/root/usr/lib/aarch64-linux-gnu/gconv
  cp -a "$dir/root" "$dir/bare"
  tar -xzf "$dir"/parts/deno-*.tgz -C "$dir/root/usr/bin" --strip-components=1 package/deno
  cp -r "$source"/{api,transport,security,network,executors,agent,deno.json,deno.lock} "$dir/root/covey/"
  # Packages that differ by processor are what this one asks for.
  DENO_DIR=$dir/root/deno-dir qemu-aarch64-static -L "$dir/root" "$dir/root/usr/bin/deno" cache --quiet \
    --config "$dir/root/covey/deno.json" "$dir/root/covey/agent/main.ts"
  cat >"$dir/root/init" <<'INIT'
/bin/busybox --install -s
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t cgroup2 cgroup /sys/fs/cgroup; mount -t tmpfs tmp /tmp
hostname pi
ip link set lo up; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up; ip route add default via 10.0.2.2
export DENO_DIR=/deno-dir COVEY_DENO=/usr/bin/deno NO_COLOR=1 PATH=/bin:/usr/bin:/sbin:/usr/sbin
stty -echo -onlcr </dev/ttyAMA0
# Not an interactive shell: that would throw away what is typed before it is ready.
echo the device is up >/dev/ttyAMA0
while read -r line; do eval "$line"; done </dev/ttyAMA0 >/dev/ttyAMA0 2>&1
INIT
}

fetch_parts
rm -rf "$dir"/{root,bare,initrd,kernel-package,disk.ext4}
make_root
make_kernel
truncate -s "$disk_size" "$dir/disk.ext4"
mke2fs -q -t ext4 -d "$dir/root" "$dir/disk.ext4"
rm -rf "$dir"/{root,initrd,kernel-package}
