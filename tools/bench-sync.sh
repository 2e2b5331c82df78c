#!/usr/bin/env bash
# bench-sync.sh FIBULA FLAGS... measures mirrors and exports beside BIRD and zebra. Where they are not installed, Debian's
# packages are unpacked into the user's cache: to install them would start routing daemons on this machine.
set -euo pipefail

cache=${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/fibula/routers
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/frr

# get unpacks packages, and what they need that is not installed, once. What apt-get says goes to a log beside them.
get() {
	[ ! -e "$cache/complete" ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "bench-sync: no $*, for want of root or apt-get" >&2
		return 0
	fi
	rm -rf "$cache" && mkdir -p "$cache/debs/partial" "$cache/root"
	echo "bench-sync: downloading $*" >&2
	if apt-get -qq update && apt-get -qq install -y --no-install-recommends --download-only -o Dir::Cache::archives="$cache/debs" "$@"; then
		for deb in "$cache"/debs/*.deb; do
			dpkg-deb -x "$deb" "$cache/root"
		done
		rm -rf "$cache/debs"
		touch "$cache/complete"
	fi >"$cache/log" 2>&1 || { echo "bench-sync: cannot get $*:" && cat "$cache/log"; } >&2
}

if ! command -v bird >/dev/null || ! command -v zebra >/dev/null; then
	get bird2 frr
fi
root=$cache/root
if [ -e "$cache/complete" ]; then
	libs=$(dirname "$(find "$root" -name 'libyang.so.*' -print -quit)")
	PATH=$PATH:$root/usr/sbin:$root/usr/lib/frr
	export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$libs:$libs/frr
fi
exec "$1" bench sync "${@:2}"
