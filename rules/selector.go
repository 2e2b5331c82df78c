package rules

import "fmt"

// Selector names a part of a rule that decides whether it matches.
type Selector uint8

// The selectors, in no particular order; Match documents the order of testing.
const (
	SelNone        Selector = iota // no selector failed
	SelFrom                        // source prefix
	SelTo                          // destination prefix
	SelIif                         // input interface
	SelIifDetached                 // input interface that does not exist
	SelOif                         // output interface
	SelOifDetached                 // output interface that does not exist
	SelMark
	SelTOS
	SelDSCP
	SelFlowLabel
	SelUID
	SelIPProto
	SelSport
	SelDport
	SelTunID
	SelL3MDev
	SelNot // every selector held, and the rule is inverted
)

var selectorNames = [...]string{
	SelNone:        "none",
	SelFrom:        "from",
	SelTo:          "to",
	SelIif:         "iif",
	SelIifDetached: "iif-detached",
	SelOif:         "oif",
	SelOifDetached: "oif-detached",
	SelMark:        "fwmark",
	SelTOS:         "tos",
	SelDSCP:        "dscp",
	SelFlowLabel:   "flowlabel",
	SelUID:         "uidrange",
	SelIPProto:     "ipproto",
	SelSport:       "sport",
	SelDport:       "dport",
	SelTunID:       "tun_id",
	SelL3MDev:      "l3mdev",
	SelNot:         "not",
}

// String returns iproute2's word for the selector; the words are stable and fit
// for programs.
func (s Selector) String() string {
	if int(s) < len(selectorNames) {
		return selectorNames[s]
	}
	return fmt.Sprintf("selector(%d)", uint8(s))
}

// MarshalText writes what String returns.
func (s Selector) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the words that String returns.
func (s *Selector) UnmarshalText(text []byte) error {
	for n, name := range selectorNames {
		if name == string(text) {
			*s = Selector(n)
			return nil
		}
	}
	return fmt.Errorf("selector %q: unknown; expected a word such as from, iif-detached or fwmark", text)
}
