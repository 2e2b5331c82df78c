#!/usr/bin/env bash
# fuzz.sh TIME [PACKAGE...] runs every fuzz target of the packages for TIME, one
# after the other, and prints one line for each. It fails if any of them does, or
# if there is none.
set -euo pipefail

time=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
go test -list '^Fuzz' "${@:-./...}" >"$log" || { cat "$log" >&2; exit 1; }
targets=$(awk '
	/^Fuzz/ { names = names " " $1; next }
	/^ok/   { n = split(names, f, " "); for (i = 1; i <= n; i++) print $2, f[i] }
	        { names = "" }' "$log")
[ -n "$targets" ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }

failed=0
while read -r pkg name; do
	# To minimise an interesting input takes up to a minute by default, in which nothing new is tried.
	# The line that go test prints last while it fuzzes holds the number of inputs tried.
	# Before Go 1.27 the end of the time is sometimes taken for a failure (golang/go#75804); a real
	# failure leaves an input or a panic.
	if go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" -fuzzminimizetime 10x "$pkg" >"$log" 2>&1 ||
		{ grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input|panic|testdata/fuzz' "$log"; }; then
		echo "fuzz $pkg $name: $(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
	else
		echo "fuzz $pkg $name: FAILED" >&2
		cat "$log" >&2
		failed=1
	fi
done <<<"$targets"
exit $failed
