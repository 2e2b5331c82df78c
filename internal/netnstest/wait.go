package netnstest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	waitLimit = 15 * time.Second // far beyond the second for which the kernel holds back link events
	waitStep  = 2 * time.Millisecond
)

// WaitFor calls cond until it returns "" (settled). If it never does, the test
// stops and shows the last answer, which should say what is still amiss.
func (ns *NS) WaitFor(what string, cond func() string) {
	ns.t.Helper()
	deadline := time.Now().Add(waitLimit)
	for {
		amiss := cond()
		if amiss == "" {
			return
		}
		if time.Now().After(deadline) {
			ns.t.Fatalf("%s: waited %v for %s: %s", ns.name, waitLimit, what, amiss)
		}
		time.Sleep(waitStep)
	}
}

// Settle waits until the kernel has finished what it does behind the caller's
// back after "ip link" and "ip address": carrier changes have reached the
// operational state of every link that is up (and with it the routes), and no
// address on a working link is still tentative.
func (ns *NS) Settle() {
	ns.t.Helper()
	ns.WaitFor("links and addresses to settle", func() string {
		links, err := parseLinks([]byte(ns.IP("-j address show")))
		if err != nil {
			ns.t.Fatalf("ip -j address show in %s: %v", ns.name, err)
		}
		for _, l := range links {
			if amiss := l.unsettled(); amiss != "" {
				return amiss
			}
		}
		return ""
	})
	// An address stops being tentative before its local route is there, under the
	// same lock that this request, which changes nothing, has to wait for.
	ns.IP("link set dev lo")
}

// SettleKept waits for what Settle cannot see: an address without duplicate detection
// is never tentative, and yet gets its local route from a work queue. Call it also
// before a link goes down that is to keep its addresses: if that work runs late, after
// the link went down, the kernel does not start it again when the link comes up.
func (ns *NS) SettleKept() {
	ns.t.Helper()
	ns.WaitFor("local routes of kept addresses", func() string {
		links, err := parseLinks([]byte(ns.IP("-6 -j address show up")))
		if err != nil {
			ns.t.Fatalf("ip -6 -j address show up in %s: %v", ns.name, err)
		}
		routes := ns.IP("-6 route show table all type local")
		for _, l := range links {
			for _, a := range l.Addresses {
				if !strings.Contains(routes, "local "+a.Local+" ") {
					return fmt.Sprintf("address %s on %s has no local route", a.Local, l.Name)
				}
			}
		}
		return ""
	})
}

// link is what Settle reads of one link in "ip -j address show".
type link struct {
	Name      string   `json:"ifname"`
	Flags     []string `json:"flags"`
	Operstate string   `json:"operstate"`
	Addresses []struct {
		Local     string `json:"local"`
		Tentative bool   `json:"tentative"`
		DADFailed bool   `json:"dadfailed"`
	} `json:"addr_info"`
}

func parseLinks(out []byte) ([]link, error) {
	var links []link
	err := json.Unmarshal(out, &links)
	return links, err
}

// unsettled says what the kernel still has to do for l, or "". LOWER_UP follows
// the carrier at once; the operational state follows it from a work queue, in
// the same step that tells the routes.
func (l *link) unsettled() string {
	if !slices.Contains(l.Flags, "UP") {
		return ""
	}
	carrier := slices.Contains(l.Flags, "LOWER_UP")
	down := slices.Contains([]string{"DOWN", "LOWERLAYERDOWN", "NOTPRESENT"}, l.Operstate)
	if carrier == down {
		return fmt.Sprintf("link %s has carrier %t but state %s", l.Name, carrier, l.Operstate)
	}
	if !carrier {
		return "" // detection of duplicates waits for a carrier
	}
	for _, a := range l.Addresses {
		if a.Tentative && !a.DADFailed {
			return fmt.Sprintf("address %s on %s is tentative", a.Local, l.Name)
		}
	}
	return ""
}
