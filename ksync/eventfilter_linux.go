package ksync

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
)

// eventFilter says which notifications the kernel need not deliver. Its zero value
// lets all of them through.
type eventFilter struct {
	// tables: routes of no other tables; none: of all. More than a program has room
	// for count as none.
	tables []fib.TableID
	// protocols: routes of no other protocols, but for replacements, by which one of
	// these may have gone; none: of all.
	protocols []fib.Protocol
	// sharers: but for all that came where a route of that key was already.
	sharers bool
	// links: routes by no other links, but for replacements and those of which the message
	// does not tell; none: by all. Too many count as none.
	links []int32
	// siblings: of IPv6 also what tells of legs that may be those of a route with other
	// protocols or links.
	siblings bool
	// notFrom: nothing that was asked for by these sockets' ports.
	notFrom []uint32
}

// Where the filter looks: from the message's head on.
const (
	atType      = 4
	atFlags     = 6
	atPort      = 12
	atFamily    = 16
	atProtocol  = 16 + 5 // rtm_protocol
	atAttrs     = 16 + 12
	attrValue   = 4
	maxProgram  = 4096 // BPF_MAXINSNS
	wholePacket = 1<<32 - 1
	// An extension of the kernel's: where in the packet, from A on, is attribute X?
	findAttr = 0xfffff000 + 12 // SKF_AD_OFF + SKF_AD_NLATTR
	rtaNHID  = 30
)

// A classic BPF program loads in network order what is in the machine's.
func swapped16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

func swapped32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

// bpf is a program while it is written.
type bpf struct {
	code  []unix.SockFilter
	jumps []jump
}

// jump is an unconditional jump to a place yet to come.
type jump struct {
	at int
	to *int
}

func (p *bpf) op(code uint16, k uint32) { p.code = append(p.code, unix.SockFilter{Code: code, K: k}) }

func (p *bpf) load(size uint16, at uint32) { p.op(unix.BPF_LD|unix.BPF_ABS|size, at) }

// unless skips the next instruction if A is not k.
func (p *bpf) unless(k uint32) {
	p.code = append(p.code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: k})
}

// when skips the next instruction if A is k.
func (p *bpf) when(k uint32) {
	p.code = append(p.code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: k})
}

// find makes A the place of an attribute, 0 if it is not there.
func (p *bpf) find(attr uint32) {
	p.op(unix.BPF_LDX|unix.BPF_IMM, attr)
	p.op(unix.BPF_LD|unix.BPF_IMM, atAttrs)
	p.load(unix.BPF_W, findAttr)
}

// value makes A the first word of the attribute that was found.
func (p *bpf) value() {
	p.op(unix.BPF_MISC|unix.BPF_TAX, 0)
	p.op(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, attrValue)
}

func (p *bpf) jump(to *int) {
	p.jumps = append(p.jumps, jump{len(p.code), to})
	p.op(unix.BPF_JMP|unix.BPF_JA, 0)
}

// here is where the jumps to a place go.
func (p *bpf) here(place *int) { *place = len(p.code) }

func (p *bpf) pass() { p.op(unix.BPF_RET|unix.BPF_K, wholePacket) }
func (p *bpf) drop() { p.op(unix.BPF_RET|unix.BPF_K, 0) }

func (p *bpf) finish() []unix.SockFilter {
	for _, j := range p.jumps {
		p.code[j.at].K = uint32(*j.to - j.at - 1)
	}
	return p.code
}

// program is the filter as classic BPF; empty: everything passes.
func (f *eventFilter) program() []unix.SockFilter {
	var p bpf
	if len(f.notFrom) > 0 {
		p.load(unix.BPF_W, atPort)
		for _, port := range f.notFrom {
			p.unless(swapped32(port))
			p.drop()
		}
	}
	tables, links := f.tables, f.links
	fits := func() bool { return len(p.code)+2*(len(tables)+len(f.protocols)+len(links))+60 <= maxProgram }
	if !fits() {
		tables = nil
	}
	if !fits() {
		links = nil
	}
	if len(tables) > 0 || len(f.protocols) > 0 || len(links) > 0 {
		p.load(unix.BPF_H, atType)
		isRoute := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 2, K: swapped16(rtnl.RTM_NEWROUTE)}
		p.code = append(p.code, isRoute)
		isRoute.Jt, isRoute.K = 1, swapped16(rtnl.RTM_DELROUTE)
		p.code = append(p.code, isRoute)
		p.pass()
		p.tables(tables)
		var others int
		p.protocols(f.protocols, &others)
		p.links(links, &others)
		p.pass()
		p.here(&others)
		p.others(f.siblings, f.sharers)
	}
	if len(p.code) > 0 {
		p.pass()
	}
	return p.finish()
}

// tables drops routes of other tables. One that does not tell its table passes.
func (p *bpf) tables(of []fib.TableID) {
	if len(of) == 0 {
		return
	}
	var ours int
	p.find(unix.RTA_TABLE)
	p.unless(0)
	p.pass()
	p.value()
	for _, t := range of {
		p.unless(swapped32(uint32(t)))
		p.jump(&ours)
	}
	p.drop()
	p.here(&ours)
}

func (p *bpf) protocols(of []fib.Protocol, others *int) {
	if len(of) == 0 {
		return
	}
	var ours int
	p.load(unix.BPF_B, atProtocol)
	for _, proto := range of {
		p.unless(uint32(proto))
		p.jump(&ours)
	}
	p.jump(others)
	p.here(&ours)
}

// links: what has several legs, or may have them by an object, is for others to see.
func (p *bpf) links(of []int32, others *int) {
	if len(of) == 0 {
		return
	}
	var told int
	p.find(unix.RTA_OIF)
	p.unless(0)
	p.jump(&told)
	p.value()
	for _, i := range of {
		p.unless(swapped32(uint32(i)))
		p.pass()
	}
	p.jump(others)
	p.here(&told)
	for _, attr := range [...]uint32{unix.RTA_MULTIPATH, rtaNHID} {
		p.find(attr)
		p.when(0)
		p.pass()
	}
	p.jump(others)
}

// others drops what is not asked for, unless what is may have gone by it.
func (p *bpf) others(siblings, sharers bool) {
	if sharers { // an addition without NLM_F_EXCL (F4)
		p.load(unix.BPF_H, atType)
		p.unless(swapped16(rtnl.RTM_DELROUTE))
		p.drop()
		p.load(unix.BPF_H, atFlags)
		p.code = append(p.code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: swapped16(rtnl.NLM_F_EXCL)})
		p.drop()
		p.pass()
	}
	p.load(unix.BPF_H, atFlags)
	p.code = append(p.code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: swapped16(rtnl.NLM_F_REPLACE)})
	p.pass()
	if siblings {
		p.load(unix.BPF_B, atFamily)
		p.when(unix.AF_INET6)
		p.drop()
		p.find(unix.RTA_MULTIPATH)
		p.when(0)
		p.pass()
		p.load(unix.BPF_H, atType)
		p.when(swapped16(rtnl.RTM_DELROUTE))
		p.drop()
		p.find(unix.RTA_GATEWAY)
		p.when(0)
		p.pass()
	}
	p.drop()
}
