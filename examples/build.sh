#!/bin/sh
# Builds the state files of the examples: each setup.sh configures a throw-away
# network namespace, which `fibula state save` then writes down. Needs root and
# iproute2; run it with `make examples`.
set -eu
cd "$(dirname "$0")"
fibula=${FIBULA:-../bin/fibula}

NS= PEER=
cleanup() {
	for n in $NS $PEER; do ip netns del "$n" 2>/dev/null || true; done
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# The words of the setup files.
ip_() { ip -n "$NS" "$@"; }
sysctl_() { ip netns exec "$NS" sh -c "echo '$2' >/proc/sys/$(echo "$1" | tr . /)"; }
# link NAME [ARG…]: an interface that is up; its other end is elsewhere.
link() {
	name=$1
	shift
	ip_ link add "$name" type veth peer name "p-$name" netns "$PEER"
	ip -n "$PEER" link set "p-$name" up
	ip_ link set "$name" "$@" up
}
settle() {
	for _ in $(seq 150); do
		ip_ -o link show up | grep -v LOOPBACK | grep -qv 'state UP' || return 0
		sleep 0.1
	done
	echo "the links of $1 did not come up" >&2
	exit 1
}

for setup in ${*:-*/setup.sh}; do
	example=$(dirname "$setup")
	NS=fibula-example-$$ PEER=fibula-example-peer-$$
	ip netns add "$NS"
	ip netns add "$PEER"
	for n in "$NS" "$PEER"; do
		ip netns exec "$n" sh -c 'cd /proc/sys/net/ipv6/conf/default && echo 1 >addr_gen_mode && echo 0 >accept_dad && echo 0 >router_solicitations'
	done
	ip_ link set lo up
	# shellcheck source=/dev/null
	. "./$setup"
	settle "$example"
	"$fibula" -n "$NS" state save "$example/state.json"
	echo "$example/state.json"
	cleanup
done
