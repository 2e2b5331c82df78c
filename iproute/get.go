package iproute

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// Query is what "ip route get" asks, still with the names of links. It is a
// plain value, comparable with ==.
type Query struct {
	Family fib.Family   // of Dst, always set
	Dst    netip.Addr   // always valid
	From   netip.Prefix // zero: none; a kernel refuses one that is not a whole address
	As     netip.Addr   // zero: none; a kernel refuses it

	Iif, Oif, Vrf string // names of links; empty: none. Vrf is an Oif that must be a VRF

	Mark      uint32
	TOS       uint8
	UID       uint32 // valid only if HasUID; else Env.UID
	HasUID    bool
	CallerUID uint32 // Env.UID

	IPProto    uint8 // valid only if HasIPProto
	HasIPProto bool

	Sport, Dport uint16
	FlowLabel    uint32

	FibMatch  bool // show the matched route as stored
	Connected bool // ip asks, and prints, twice
	Notify    bool // the reply says "notify" (IPv4)

	// Cut is the prefix length that was written after Dst and is ignored, as ip
	// warns; -1: none.
	Cut int16
}

// Env is what a query depends on besides its words.
type Env struct {
	Family fib.Family // ip -4, ip -6; 0: as the first address tells
	UID    uint32     // the caller's user id: an output flow's unless the query gives one (0.2)
	Names  *Names     // nil: the built-in names
}

// The keywords of "ip route get" in ip's order of comparison. Words marked short
// may be cut to any prefix that no earlier one claims.
var getWords = [...]struct {
	word  string
	short bool
	id    getWord
}{
	{"tos", false, wordTOS}, {"dsfield", true, wordTOS}, {"from", true, wordFrom}, {"iif", true, wordIif},
	{"mark", true, wordMark}, {"oif", true, wordOif}, {"dev", false, wordOif}, {"notify", true, wordNotify},
	{"connected", true, wordConnected}, {"vrf", true, wordVrf}, {"uid", true, wordUID}, {"fibmatch", true, wordFibMatch},
	{"as", false, wordAs}, {"sport", true, wordSport}, {"dport", true, wordDport}, {"ipproto", true, wordIPProto},
	{"flowlabel", false, wordFlowLabel}, {"to", false, wordTo}, {"help", true, wordHelp},
}

type getWord uint8

const (
	wordAddr getWord = iota // no keyword: the destination
	wordTOS
	wordFrom
	wordIif
	wordMark
	wordOif
	wordNotify
	wordConnected
	wordVrf
	wordUID
	wordFibMatch
	wordAs
	wordSport
	wordDport
	wordIPProto
	wordFlowLabel
	wordTo
	wordHelp
)

func lookupWord(s string) getWord {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return wordAddr
	}
	for i := range getWords {
		if w := &getWords[i]; s == w.word || w.short && strings.HasPrefix(w.word, s) {
			return w.id
		}
	}
	return wordAddr
}

// ParseGet reads the words that follow "ip route get". It takes what iproute2
// takes: any order, the last of repeated words, words cut short where ip allows
// it (and flowlabel, which newer versions have), numbers in decimal, octal and
// hexadecimal, addresses with a length, which is ignored (Query.Cut).
//
// Names of links are not looked at; Query.Flow does. The error is a *UsageError.
// A query without errors costs no allocation.
func ParseGet(args []string, env Env) (Query, error) {
	p := getParser{q: Query{Family: env.Family, CallerUID: env.UID, Cut: -1}, names: env.Names}
	for p.args = args; len(p.args) > 0; {
		word := p.args[0]
		p.args = p.args[1:]
		if err := p.word(word); err != nil {
			return Query{}, err
		}
	}
	q := &p.q
	if !p.found {
		return Query{}, expected(ExitInput, "", "need at least a destination address, such as 192.0.2.1")
	}
	if q.Family == 0 {
		q.Family = fib.Inet
	}
	if !q.Dst.IsValid() {
		q.Dst = unspecified(q.Family)
	}
	return *q, nil
}

func unspecified(f fib.Family) netip.Addr {
	if f == fib.Inet {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

type getParser struct {
	q     Query
	names *Names
	args  []string
	found bool
}

// next takes the value of a keyword.
func (p *getParser) next(key string) (string, error) {
	if len(p.args) == 0 {
		return "", expected(ExitUsage, key, `the command line is not complete: "`+key+`" needs a value after it`)
	}
	v := p.args[0]
	p.args = p.args[1:]
	return v, nil
}

func (p *getParser) number(key string, bits int) (uint64, error) {
	s, err := p.next(key)
	if err != nil {
		return 0, err
	}
	v, ok := parseUint(s, 0, bits)
	if !ok {
		return 0, badValue(key, s, "a number from 0 to "+strconv.FormatUint(1<<bits-1, 10)+", decimal or with 0x in front")
	}
	return v, nil
}

func (p *getParser) word(word string) (err error) {
	q := &p.q
	var v uint64
	switch lookupWord(word) {
	case wordAddr:
		return p.dst(word)
	case wordTo:
		if word, err = p.next("to"); err == nil {
			if word != "" && strings.HasPrefix("help", word) {
				return getUsage()
			}
			err = p.dst(word)
		}
	case wordFrom:
		if word, err = p.next("from"); err == nil {
			err = p.from(word)
		}
	case wordAs:
		if word, err = p.next("as"); err == nil && word == "to" {
			word, err = p.next("as to")
		}
		if err == nil {
			q.As, err = p.addr(word)
		}
	case wordIif:
		q.Iif, err = p.name("iif")
	case wordOif:
		q.Oif, err = p.name("oif")
		q.Vrf = ""
	case wordVrf:
		q.Vrf, err = p.name("vrf")
		q.Oif = ""
	case wordTOS:
		if word, err = p.next("tos"); err == nil {
			if q.TOS, err = p.names.DSField(word); err != nil {
				err = badValue("tos", word, "a name of rt_dsfield, or a hexadecimal number up to ff")
			}
		}
	case wordIPProto:
		if word, err = p.next("ipproto"); err == nil {
			q.HasIPProto = true
			if q.IPProto, err = p.names.IPProto(word); err != nil {
				err = badValue("ipproto", word, "tcp, udp, icmp, ipv6-icmp, or a decimal number up to 255")
			}
		}
	case wordMark:
		v, err = p.number("mark", 32)
		q.Mark = uint32(v)
	case wordUID:
		v, err = p.number("uid", 32)
		q.UID, q.HasUID = uint32(v), true
	case wordSport:
		v, err = p.number("sport", 16)
		q.Sport = uint16(v)
	case wordDport:
		v, err = p.number("dport", 16)
		q.Dport = uint16(v)
	case wordFlowLabel:
		v, err = p.number("flowlabel", 32)
		q.FlowLabel = uint32(v)
	case wordNotify:
		q.Notify = true
	case wordConnected:
		q.Connected = true
	case wordFibMatch:
		q.FibMatch = true
	case wordHelp:
		return getUsage()
	}
	return err
}

// name takes the name of a link. ip finds out that a link does not exist; it
// refuses nothing else.
func (p *getParser) name(key string) (string, error) {
	s, err := p.next(key)
	if err == nil && s == "" {
		err = badValue(key, s, "the name of a link")
	}
	return s, err
}

// parse reads an address with an optional length in the family known so far;
// "default", "any" and "all" give the zero address and length 0.
func (p *getParser) parse(word string) (a netip.Addr, bits int, err error) {
	fam := p.q.Family
	if word == "default" || word == "any" || word == "all" {
		if word == "default" && fam != 0 {
			a = unspecified(fam)
		}
		return a, 0, nil
	}
	s, length, cut := strings.Cut(word, "/")
	a, ok := parseAddr(s)
	if !ok || fam != 0 && addrFamily(a) != fam {
		return a, 0, badPrefix(fam, word)
	}
	if bits = a.BitLen(); cut {
		if bits, ok = parsePrefixLen(length, bits); !ok {
			return a, 0, badPrefix(fam, word)
		}
	}
	p.q.Family = addrFamily(a)
	return a, bits, nil
}

func addrFamily(a netip.Addr) fib.Family {
	if a.Is4() {
		return fib.Inet
	}
	return fib.Inet6
}

func (p *getParser) dst(word string) error {
	a, bits, err := p.parse(word)
	if err != nil {
		return err
	}
	p.found = true
	p.q.Dst, p.q.Cut = a, -1
	if p.q.Family != 0 && bits != p.q.Family.Bits() {
		p.q.Cut = int16(bits)
	}
	return nil
}

func (p *getParser) from(word string) error {
	if word != "" && strings.HasPrefix("help", word) {
		return getUsage()
	}
	a, bits, err := p.parse(word)
	p.q.From = netip.Prefix{}
	if err == nil && a.IsValid() {
		p.q.From = netip.PrefixFrom(a, bits)
	}
	return err
}

func (p *getParser) addr(word string) (netip.Addr, error) {
	a, ok := parseAddr(word)
	if !ok || p.q.Family != 0 && addrFamily(a) != p.q.Family {
		return a, badPrefix(p.q.Family, word)
	}
	p.q.Family = addrFamily(a)
	return a, nil
}

// GetUsage is the syntax of a query in one line.
const GetUsage = "[ connected | fibmatch | notify ] [ to ] ADDRESS [ from ADDRESS ] [ iif DEV ] [ oif DEV | vrf NAME ]" +
	" [ tos TOS ] [ mark NUMBER ] [ uid NUMBER ] [ ipproto PROTOCOL ] [ sport PORT ] [ dport PORT ] [ flowlabel LABEL ]"

func getUsage() error {
	return expected(ExitUsage, "help", "usage: get "+GetUsage)
}
