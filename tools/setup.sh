#!/usr/bin/env bash
# setup.sh COMMAND=PACKAGE[,PACKAGE...]... installs the Debian packages of the
# commands that are missing. Without root or apt-get it names them and goes on:
# what needs them says so itself.
set -euo pipefail

packages=()
for need in "$@"; do
	PATH=$PATH:/usr/sbin:/sbin command -v "${need%%=*}" >/dev/null && continue
	IFS=, read -ra more <<<"${need#*=}"
	packages+=("${more[@]}")
done
[ ${#packages[@]} -gt 0 ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "setup: not installed, for want of root or apt-get: ${packages[*]}" >&2
	exit 0
fi
exec 9<"$0"
flock 9 # one apt-get at a time, under make -j too
echo "setup: installing ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ apt-get update && apt-get install -y --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 9<&- || {
	cat "$log" >&2
	exit 1
}
