#!/usr/bin/env bash
# run.sh KERNEL... boots each kernel, a Debian package linux-image-…, under QEMU without KVM and runs there the
# tests that ask the kernel: those in *_linux_test.go of SUITES. What they print and leave behind comes back to
# bin/kernels/RELEASE. It fails unless every test passed on every kernel.
#
# The guest is an initramfs of busybox, ip, MODULES and test binaries, with init.sh as its first process; it has
# no network, and a disk only to hand back /out. Its environment has CI=true, CONFORMANCE_OUT=/out/conformance.jsonl
# and the caller's TEST_SEED and DIFF_*.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PATH:/usr/sbin:/sbin

: "${GO:=go}"
# Packages, each with =REGEXP if only some of its tests are wanted: what the command does beside asking the kernel
# is the same everywhere, and slow on an emulated processor.
: "${SUITES:=rules fib iproute ksync internal/conformance cmd/fibula=Cases|Verify}"
: "${MODULES:=virtio_pci virtio_blk veth vrf dummy bridge tun macvlan 8021q vxlan sit ip_gre}"
: "${TIMEOUT:=3600}" # seconds for one kernel, a few minutes on a quiet machine

cache=${XDG_CACHE_HOME:-${HOME:-$PWD}/.cache}/fibula/kernels
die() { echo "test-kernels: $*" >&2; exit 1; }
say() { [ ! -t 2 ] || printf '\r\033[K%s' "${*:0:200}" >&2; }

[ "$(uname -sm)" = "Linux x86_64" ] || die "needs Linux on x86-64: the guest takes its programs from here"
for command in qemu-system-x86_64 busybox cpio ip apt-get dpkg-deb; do
	command -v "$command" >/dev/null || die "no $command: run as root on Debian, where what is missing is installed"
done

# image NAME prints the package that holds the kernel: for a meta package, the one that it depends on.
image() {
	case $1 in
	linux-image-[0-9]*) echo "$1" ;;
	*) apt-cache depends "$1" 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }' ;;
	esac
}

# fetch PACKAGE unpacks a package into the cache, once. What apt-get says goes to a log beside it.
fetch() {
	local dir=$cache/$1
	[ ! -e "$dir/complete" ] || return 0
	say "downloading $1"
	rm -rf "$dir" && mkdir -p "$dir" &&
		(cd "$dir" && apt-get -qq download "$1") >"$dir.log" 2>&1 &&
		dpkg-deb --fsys-tarfile "$dir"/*.deb | tar x -C "$dir" ./boot ./lib/modules &&
		rm "$dir"/*.deb &&
		busybox depmod -b "$dir" "$(ls "$dir/lib/modules")" &&
		touch "$dir/complete"
}

# get NAME prints the package of a kernel, which is then in the cache. What apt knows may be too old, or nothing.
get() {
	local package
	package=$(image "$1")
	if [ -z "$package" ] || ! fetch "$package"; then
		say "apt-get update"
		apt-get -qq update >&2 || die "apt-get update failed, and $1 is not in the cache"
		package=$(image "$1")
		[ -n "$package" ] || die "apt knows no kernel $1"
		fetch "$package" || { cat "$cache/$package.log" >&2; die "cannot get $package"; }
	fi
	echo "$package"
}

# place ROOT PROGRAM copies a program and its shared libraries to the same paths below ROOT.
place() {
	local root=$1 f
	{ echo "$2"; ldd "$2" 2>/dev/null | grep -oE '/[^ ]+\.so[^ ]*' || true; } | while read -r f; do
		mkdir -p "$root${f%/*}" && cp -L "$f" "$root$f"
	done
}

# archive DIR prints DIR as the kernel takes it.
archive() { (cd "$1" && find . | cpio -o -H newc --quiet); }

# base ROOT makes the part of the guest that does not depend on its kernel.
base() {
	local root=$1 suite only tests
	mkdir -p "$root"/{proc,sys,dev,run,tmp,root,out,etc,bin,sbin,src}
	place "$root" "$(command -v ip)"
	place "$root" "$(command -v sh)" # that of busybox takes its own ip for ip
	place "$root" "$(command -v busybox)"
	cp "$root$(command -v busybox)" "$root/bin/busybox"
	cp tools/kernels/init.sh "$root/init"
	cp -rL /etc/iproute2 /etc/protocols /etc/services "$root/etc/" 2>/dev/null || true # names that ip knows
	echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
	{
		echo CI=true
		echo CONFORMANCE_OUT=/out/conformance.jsonl
		echo DIFF_CONFIGS=60 # of the random comparison, less than elsewhere for the time it takes
		env | grep -E '^(TEST_SEED|DIFF_[A-Z]+)=' || true
	} >"$root/environment"
	git ls-files -z -co --exclude-standard examples '*/testdata/*' '*.md' | xargs -0 cp --parents -t "$root/src"
	for suite in $SUITES; do
		only=$(cut -s -d= -f2 <<<"$suite")
		suite=${suite%%=*}
		say "building the tests of $suite"
		CGO_ENABLED=0 $GO test -c -ldflags='-s -w' -o "$root/src/$suite/suite.test" "./$suite"
		tests=$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t .*/\1/p' "$suite"/*_linux_test.go | grep -E "${only:-.}" | paste -sd'|')
		echo "$suite ^($tests)\$" >>"$root/suites"
	done
}

# boot DIR RELEASE LOG runs the guest under the kernel in DIR and leaves in LOG what comes back.
boot() {
	local dir=$1 release=$2 log=$3 lib=lib/modules/$2 status=0
	rm -rf "$tmp/modules" && mkdir -p "$tmp/modules/$lib"
	echo "$MODULES" >"$tmp/modules/modules"
	cp "$dir/$lib/modules.dep" "$tmp/modules/$lib/"
	(cd "$dir/$lib" && grep -E "/(${MODULES// /|})\.ko(\.[a-z]+)?:" modules.dep | tr -d : | tr ' ' '\n' | sort -u |
		xargs cp --parents -t "$tmp/modules/$lib")
	archive "$tmp/modules" | cat "$tmp/base.cpio" - >"$tmp/initrd"
	rm -f "$tmp/out.tar" && truncate -s 512M "$tmp/out.tar"

	timeout -k 5 "$TIMEOUT" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 \
		-nodefaults -no-user-config -display none -no-reboot -kernel "$dir/boot/vmlinuz-$release" -initrd "$tmp/initrd" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on" \
		-serial "file:$log/console.log" -drive "file=$tmp/out.tar,format=raw,if=virtio" </dev/null >"$log/qemu.log" 2>&1 &
	guest=$!
	while kill -0 $guest 2>/dev/null; do
		say "$release: $(tail -n 1 "$log/console.log" 2>/dev/null | tr -d '\r')"
		sleep 1
	done
	say
	wait $guest || status=$?
	guest=
	case $status in
	124 | 137) echo "test-kernels: $release was not done within $TIMEOUT s" >&2 ;;
	esac
	tail -n 20 "$log/qemu.log" >&2 # silent unless something ended it: its exit status is 0 then too
	tar x -C "$log" -f "$tmp/out.tar" 2>/dev/null || tail -n 20 "$log/console.log" >&2
}

# judge LOG prints what came back, and fails unless all of it passed.
judge() {
	local log=$1 suite failed=0
	for suite in $SUITES; do
		suite=${suite%%=*}
		if [ ! -e "$log/$suite/status" ]; then
			echo "$suite: did not end"
			failed=1
			continue
		fi
		echo "$suite: $(cat "$log/$suite/seconds") s"
		$GO tool test2json -p "$suite" <"$log/$suite/test.log" | $GO run -C tools ./testlog | sed 's/^/  /' || failed=1
		[ "$(cat "$log/$suite/status")" = 0 ] || failed=1
		# What the tests say that they did.
		sed -nE '/TEST_SEED/!s/^    [a-z0-9_]+_linux_test\.go:[0-9]+: (.+)/  \1/p' "$log/$suite/test.log"
	done
	return $failed
}

tmp=$(mktemp -d)
guest=
trap '[ -z "$guest" ] || kill "$guest" 2>/dev/null || true; rm -rf "$tmp"' EXIT
packages=()
for name in "$@"; do
	package=$(get "$name")
	packages+=("$package")
done
base "$tmp/base"
archive "$tmp/base" >"$tmp/base.cpio"
failed=0
for package in "${packages[@]}"; do
	release=$(ls "$cache/$package/lib/modules")
	log=bin/kernels/$release
	rm -rf "$log" && mkdir -p "$log"
	echo "$package"
	boot "$cache/$package" "$release" "$log"
	judge "$log" || failed=1
done
exit $failed
