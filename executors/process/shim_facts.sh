# What the device is, for placement: lines NAME VALUE. Read by shim_server.sh when it is asked, which is about once a minute.

# is_own_device NAME: false for what every kernel has below /dev, whatever is attached.
is_own_device() {
  case $1 in
    autofs | btrfs-control | console | cpu_dma_latency | full | hpet | kmsg | loop* | mcelog | mem | null | nvram | port | ptmx) return 1 ;;
    ram[0-9]* | random | snapshot | stderr | stdin | stdout | tty | tty[0-9]* | udmabuf | uhid | uinput | urandom | userfaultfd | vcs* | vga_arbiter | zero | zram*) return 1 ;;
  esac
}

tell_facts() {
  read -r kernel </proc/sys/kernel/osrelease && echo "kernel $kernel"
  for file in /sys/firmware/devicetree/base/model /sys/class/dmi/id/product_name; do
    # A device tree ends its text with a zero byte.
    model=$(tr -d '\000' 2>/dev/null <"$file") && [ -n "$model" ] && echo "model $model" && break
  done 2>/dev/null
  set +f
  for path in /dev/* /dev/dri/* /dev/input/by-id/* /dev/net/* /dev/serial/by-id/* /dev/snd/*; do
    if { [ -c "$path" ] || [ -b "$path" ]; } && is_own_device "${path#/dev/}"; then echo "dev $path"; fi
  done
}
