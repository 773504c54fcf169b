#!/bin/sh
# Makes what a device is installed from without a network: FOLDER/covey-VERSION-ARCH.tar.gz, which holds the program, one file of
# JavaScript for each start, and Deno; and beside it install.sh, for a device that fetches both.
#   bundle.sh [--out FOLDER] [--arch x86_64|aarch64] [--deno FILE|none]
# The folder is `dist` unless named. --deno names the Deno of another architecture, or leaves it out: then install.sh looks for one.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
deno=${COVEY_DENO:-$(command -v deno || :)}
# What is on the path may be a script that leads to it.
[ -n "${COVEY_DENO:-}" ] || [ -z "$deno" ] || deno=$("$deno" eval --no-config 'console.log(Deno.execPath())')
out=dist arch=$(uname -m) included=$deno
fail() { echo "Cannot make the bundle: $*" >&2; exit 1; }
while [ $# -gt 0 ]; do
  [ $# -gt 1 ] || fail "$1 needs a value"
  case $1 in
    --out) out=$2 ;;
    --arch) arch=$2 ;;
    --deno) included=$2 ;;
    *) fail "there is no flag $1" ;;
  esac
  shift 2
done
case $arch in x86_64 | aarch64) ;; *) fail "--arch is x86_64 or aarch64, current value is \"$arch\"" ;; esac
# The letters that tell an ELF file's machine: a device would only find out when it starts.
machine=none
if [ "$included" != none ]; then
  [ -r "$included" ] || fail "there is no Deno at $included"
  machine=$(od -An -tx1 -j18 -N1 "$included" | tr -d ' ')
fi
case $arch,$machine in *,none | x86_64,3e | aarch64,b7) ;; *) fail "$included is not made for $arch; name another with --deno" ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=$work/covey
mkdir -p "$program/agent" "$program/manager" "$program/cli" "$program/bin"
for main in agent/main manager/main manager/idle cli/main; do
  "$deno" bundle --quiet --config "$root/deno.json" --minify -o "$program/$main.js" "$root/$main.ts"
done
# All else that is not in them: shell, and what the shim gives to a deno task.
(cd "$root" && find agent executors manager network security transport -type f ! -name "*.ts" -print) |
  while read -r file; do
    mkdir -p "$program/${file%/*}"
    cp -p "$root/$file" "$program/$file"
  done
cp -p "$root"/install/install.sh "$root"/install/start.sh "$root"/install/upgrade.sh "$program/"
cp -p "$root/install/covey.sh" "$program/bin/covey"
# Two programs that differ never share a version, or an upgrade from one to the other would be none.
number=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' "$root/deno.json")
contents=$(cd "$program" && find . -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-8)
version=$number-$contents
echo "$version" >"$program/VERSION"
[ "$included" = none ] || cp "$included" "$program/bin/deno"

mkdir -p "$out"
file=$out/covey-$version-$arch.tar.gz
tar -C "$work" --owner=0 --group=0 --numeric-owner -cf - covey | gzip -6 >"$file.part"
mv "$file.part" "$file"
sed "s/^BUNDLE=.*/BUNDLE=covey-$version/" "$root/install/install.sh" >"$out/install.sh"
echo "$file"
