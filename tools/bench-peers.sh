#!/usr/bin/env bash
# bench-peers.sh FIBULA FLAGS... builds the driver of bench/peers/dpdk and measures
# beside it. DPDK's tables lie in pages of 2 MB where the machine has room for them;
# what was set aside is given back.
set -euo pipefail

driver=bin/dpdk-driver
if ! pkg-config --exists libdpdk 2>/dev/null; then
	echo "bench-peers: libdpdk-dev is not installed" >&2
	exit 1
fi
mkdir -p bin
# The flags bring every library of DPDK along: these four are used.
# shellcheck disable=SC2046
cc -O3 -march=native -Wall $(pkg-config --cflags libdpdk) -o "$driver" bench/peers/dpdk/driver.c -lrte_fib -lrte_rib -lrte_mempool -lrte_eal

pages=/proc/sys/vm/nr_hugepages
before=$(cat "$pages" 2>/dev/null || echo 0)
if [ -w "$pages" ]; then
	trap 'echo "$before" >"$pages"' EXIT
	echo 1400 >"$pages"
fi
"$1" bench peers --dpdk "$driver" "${@:2}"
