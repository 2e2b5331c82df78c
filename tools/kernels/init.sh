#!/bin/busybox sh
# The first process of the guest that run.sh boots: runs each line of /suites and writes /out as a tar archive to
# the disk. The tests have what they print, their exit code and duration in /out/SUITE.
busybox=/bin/busybox
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
$busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
ln -s /proc/self/fd /dev/fd
# No links but those that a test makes: modules bring none, and no namespace has templates of tunnels.
echo 2 >/proc/sys/net/core/fb_tunnels_only_for_init_net
for module in $(cat /modules); do
	case $module in
	dummy) modprobe dummy numdummies=0 ;;
	*) modprobe "$module" ;;
	esac
done
ip link set lo up
export $(cat /environment)

# Removing a namespace is mostly waiting: more tests than processors run at once.
while read -r suite tests; do
	echo "$suite"
	mkdir -p "/out/$suite"
	start=$(cut -d. -f1 /proc/uptime)
	(cd "/src/$suite" && ./suite.test -test.run "$tests" -test.v=test2json -test.timeout 30m -test.parallel 8) >"/out/$suite/test.log" 2>&1
	echo $? >"/out/$suite/status"
	echo $(($(cut -d. -f1 /proc/uptime) - start)) >"/out/$suite/seconds"
	tar c -C /out . >/dev/vda # after each, so that a guest that dies hands back what it has
done </suites
sync
poweroff -f
