# How the device is: read by shim_server.sh for `measure STATE`. One line a fact, what cannot be read is left out:
#   cpu BUSY TOTAL           ticks of all processors since the boot
#   memory TOTAL AVAILABLE   KiB
#   disk TOTAL AVAILABLE     KiB, of the file system with the state folder
#   temperature MILLIDEGREES of the hottest sensor
#   throttled HEX            a Raspberry Pi's own word: bits 0 to 3 for now, 16 to 19 since the boot
#   written SECTORS          of 512 bytes, to all disks since the boot

measure() {
  read -r _ user nice system idle iowait irq softirq steal _ </proc/stat 2>/dev/null &&
    busy=$((user + nice + system + irq + softirq + ${steal:-0})) && echo "cpu $busy $((busy + idle + iowait))"
  total='' available=''
  while read -r key value _; do
    case $key in MemTotal:) total=$value ;; MemAvailable:) available=$value && break ;; esac
  done </proc/meminfo
  [ -z "$available" ] || echo "memory $total $available"
  df -Pk "$state" 2>/dev/null | while read -r _ total _ available _; do
    case $total$available in *[!0-9]*) ;; ?*) echo "disk $total $available" ;; esac
  done
  hottest=''
  for zone in /sys/class/thermal/thermal_zone*/temp; do
    read -r degrees 2>/dev/null <"$zone" || continue
    case $degrees in '' | *[!0-9]* | ????????*) continue ;; esac
    [ -n "$hottest" ] && [ "$degrees" -le "$hottest" ] || hottest=$degrees
  done
  [ -z "$hottest" ] || echo "temperature $hottest"
  for file in /sys/devices/platform/soc/*firmware/get_throttled; do
    read -r bits 2>/dev/null <"$file" && case $bits in '' | *[!0-9a-fA-Fx]*) ;; *) echo "throttled $bits" ;; esac
  done
  sectors=''
  for disk in /sys/block/*; do
    # Each of these writes to a disk that is counted, or to memory.
    case ${disk##*/} in loop* | ram* | zram* | dm-* | md*) continue ;; esac
    read -r _ _ _ _ _ _ written _ 2>/dev/null <"$disk/stat" && sectors=$((${sectors:-0} + written))
  done
  [ -z "$sectors" ] || echo "written $sectors"
}
