package procnet

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParseIGMP reads /proc/net/igmp: the indexes of the links with IPv4 in order of
// creation (C22), and the groups that each has joined (C25).
//
// The file has groups as numbers, in the byte order of the machine it comes from,
// which may not be this one. It does not tell the order; little-endian is taken
// wherever that makes a multicast address.
func ParseIGMP(b []byte) (order []int32, groups map[int32][]netip.Addr, err error) {
	groups = map[int32][]netip.Addr{}
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "Idx" {
			continue
		}
		// A line per link begins with its index; those of its groups, below it, are indented.
		if line[0] != '\t' && line[0] != ' ' {
			index, err := linkIndex("igmp", number, words[0])
			if err != nil {
				return nil, nil, err
			}
			order = append(order, index)
			continue
		}
		a, ok := group(words[0])
		if !ok || len(order) == 0 {
			return nil, nil, fmt.Errorf("igmp: line %d: %.40q is no multicast group of a link", number, words[0])
		}
		link := order[len(order)-1]
		groups[link] = append(groups[link], a)
	}
	return order, groups, nil
}

func group(word string) (netip.Addr, bool) {
	b, err := hex.DecodeString(word)
	if err != nil || len(b) != 4 {
		return netip.Addr{}, false
	}
	if a := netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}); a.IsMulticast() {
		return a, true
	}
	a := netip.AddrFrom4([4]byte(b))
	return a, a.IsMulticast()
}

// ParseIGMP6 reads /proc/net/igmp6: the indexes of the links that joined an IPv6
// group, in order of creation (C22).
func ParseIGMP6(b []byte) (order []int32, err error) {
	number := 0
	for line := range strings.Lines(string(b)) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		index, err := linkIndex("igmp6", number, words[0])
		if err != nil {
			return nil, err
		}
		if n := len(order); n == 0 || order[n-1] != index { // a line per group
			order = append(order, index)
		}
	}
	return order, nil
}

func linkIndex(file string, line int, word string) (int32, error) {
	n, err := strconv.ParseInt(word, 10, 32)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%s: line %d: %.40q is no index of a link", file, line, word)
	}
	return int32(n), nil
}
