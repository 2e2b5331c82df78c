#!/usr/bin/env bash
# readme-demo.sh FIBULA runs the demo and puts what it prints into the README's
# block of it, without the rules and the story.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT
"$1" demo --color never | awk '
	/^What decides/          { skip = 1; sub(/\n$/, "", held); print "…"; held = "" }
	/^[0-9,]+ flows:/        { skip = 0 }
	/^One of them explained/ { skip = 1; print "…"; held = "" }
	/^Done in/               { skip = 0 }
	skip                     { next }
	/^$/                     { held = held "\n"; next } # a blank line goes with what follows it
	                         { printf "%s%s\n", started ? held : "", $0; held = ""; started = 1 }' >"$out"
awk -v out="$out" '
	/^\$ bin\/fibula demo$/ { print; while ((getline line <out) > 0) print line; inside = 1; next }
	/^```$/                 { inside = 0 }
	!inside' README.md >"$out.md"
mv "$out.md" README.md
