package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// Action is what a matching rule does, numbered as FR_ACT_* in rtnetlink.
// A rule keeps any number; one that is not named here behaves as
// ActBlackhole (A6).
type Action uint8

// The actions that a kernel distinguishes.
const (
	ActUnspec      Action = 0 // in a delete request: any action
	ActLookup      Action = 1 // look the flow up in a table
	ActGoto        Action = 2 // go on at the first rule of another priority
	ActNop         Action = 3 // go on with the next rule
	ActBlackhole   Action = 6 // EINVAL
	ActUnreachable Action = 7 // ENETUNREACH
	ActProhibit    Action = 8 // EACCES
)

var actionNames = map[Action]string{
	ActUnspec:      "unspec",
	ActLookup:      "lookup",
	ActGoto:        "goto",
	ActNop:         "nop",
	ActBlackhole:   "blackhole",
	ActUnreachable: "unreachable",
	ActProhibit:    "prohibit",
}

// String returns iproute2's word for a, or such as "action(9)".
func (a Action) String() string {
	if name, ok := actionNames[a]; ok {
		return name
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// MarshalText writes what String returns.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (a *Action) UnmarshalText(text []byte) error {
	for n, name := range actionNames {
		if name == string(text) {
			*a = n
			return nil
		}
	}
	if digits, ok := strings.CutPrefix(string(text), "action("); ok {
		if digits, ok = strings.CutSuffix(digits, ")"); ok {
			if n, err := strconv.ParseUint(digits, 10, 8); err == nil {
				*a = Action(n)
				return nil
			}
		}
	}
	return fmt.Errorf("rule action %q: expected lookup, goto, nop, blackhole, unreachable, prohibit or action(N)", text)
}
