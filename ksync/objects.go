package ksync

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// ObjectDifference is something beside routes that two sides have differently. Text is
// empty where a side does not have it.
type ObjectDifference struct {
	Object       string // such as "link 3"
	Ours, Theirs string
}

// objectDifferences lists what differs in two plain states.
func objectDifferences(ours, theirs *fib.State) (out []ObjectDifference) {
	collect := func(object, a, b string) { out = append(out, ObjectDifference{object, a, b}) }
	diffList(collect, ours.Links, theirs.Links, linkName)
	diffList(collect, ours.Addresses, theirs.Addresses, addressName)
	diffList(collect, ours.Nexthops, theirs.Nexthops, nexthopName)
	for _, f := range [...]fib.Family{fib.Inet, fib.Inet6} {
		if a, b := rulesText(ours, f), rulesText(theirs, f); a != b {
			collect(rulesName(f), a, b)
		}
	}
	if ours.Sysctls != theirs.Sysctls {
		collect("settings", fmt.Sprintf("%+v", ours.Sysctls), fmt.Sprintf("%+v", theirs.Sysctls))
	}
	if !reflect.DeepEqual(ours.AddrLabels, theirs.AddrLabels) {
		collect("address labels", fmt.Sprint(ours.AddrLabels), fmt.Sprint(theirs.AddrLabels))
	}
	return out
}

// diffList compares two lists of objects with names, the order included.
func diffList[T any](collect func(object, a, b string), ours, theirs []T, name func(*T) string) {
	place := map[string]int{}
	for i := range theirs {
		place[name(&theirs[i])] = i
	}
	for i := range ours {
		n := name(&ours[i])
		j, ok := place[n]
		delete(place, n)
		switch {
		case !ok:
			collect(n, fmt.Sprintf("%+v", ours[i]), "")
		case !reflect.DeepEqual(ours[i], theirs[j]):
			collect(n, fmt.Sprintf("%+v", ours[i]), fmt.Sprintf("%+v", theirs[j]))
		case i != j && len(ours) == len(theirs):
			collect(n, fmt.Sprintf("number %d", i), fmt.Sprintf("number %d", j))
		}
	}
	for i := range theirs {
		if n := name(&theirs[i]); place[n] == i {
			if _, left := place[n]; left {
				collect(n, "", fmt.Sprintf("%+v", theirs[i]))
			}
		}
	}
}

// rulesText are the rules of a family, a line each.
func rulesText(st *fib.State, f fib.Family) string {
	var b strings.Builder
	for i := range st.Rules {
		if st.Rules[i].Family == f {
			fmt.Fprintln(&b, st.Rules[i].String())
		}
	}
	return b.String()
}
