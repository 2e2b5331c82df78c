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
	// notFrom: nothing that was asked for by these sockets' ports.
	notFrom []uint32
}

// Where the filter looks: from the message's head on.
const (
	atType      = 4
	atFlags     = 6
	atPort      = 12
	atProtocol  = 16 + 5 // rtm_protocol
	atAttrs     = 16 + 12
	rtaTable    = 15
	attrValue   = 4
	maxProgram  = 4096 // BPF_MAXINSNS
	wholePacket = 1<<32 - 1
	// An extension of the kernel's: where in the packet, from A on, is attribute X?
	findAttr = 0xfffff000 + 12 // SKF_AD_OFF + SKF_AD_NLATTR
)

// A classic BPF program loads in network order what is in the machine's.
func swapped16(v uint16) uint32 {
	return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
}

func swapped32(v uint32) uint32 {
	return binary.BigEndian.Uint32(binary.NativeEndian.AppendUint32(nil, v))
}

type bpf []unix.SockFilter

func (p *bpf) op(code uint16, k uint32) { *p = append(*p, unix.SockFilter{Code: code, K: k}) }

func (p *bpf) load(size uint16, at uint32) { p.op(unix.BPF_LD|unix.BPF_ABS|size, at) }

// unless skips the next instruction if A is not k.
func (p *bpf) unless(k uint32) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: k})
}

func (p *bpf) pass() { p.op(unix.BPF_RET|unix.BPF_K, wholePacket) }
func (p *bpf) drop() { p.op(unix.BPF_RET|unix.BPF_K, 0) }

// program is the filter as classic BPF; empty: everything passes.
func (f *eventFilter) program() bpf {
	var p bpf
	if len(f.notFrom) > 0 {
		p.load(unix.BPF_W, atPort)
		for _, port := range f.notFrom {
			p.unless(swapped32(port))
			p.drop()
		}
	}
	tables := f.tables
	if len(p)+2*len(tables)+2*len(f.protocols)+24 > maxProgram {
		tables = nil
	}
	if len(tables) > 0 || len(f.protocols) > 0 {
		p.load(unix.BPF_H, atType)
		isRoute := unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 2, K: swapped16(rtnl.RTM_NEWROUTE)}
		p = append(p, isRoute)
		isRoute.Jt, isRoute.K = 1, swapped16(rtnl.RTM_DELROUTE)
		p = append(p, isRoute)
		p.pass()
		p.protocols(f.protocols, f.sharers)
		p.tables(tables)
	}
	if len(p) > 0 {
		p.pass()
	}
	return p
}

// protocols drops routes of other protocols that replace none, or share no key.
func (p *bpf) protocols(of []fib.Protocol, sharers bool) {
	if len(of) == 0 {
		return
	}
	rest := 3
	if sharers {
		rest = 6
	}
	p.load(unix.BPF_B, atProtocol)
	for i, proto := range of {
		p.unless(uint32(proto))
		p.op(unix.BPF_JMP|unix.BPF_JA, uint32(2*(len(of)-i-1)+rest)) // over the rest and what follows it
	}
	if sharers { // an addition without NLM_F_EXCL (F4)
		p.load(unix.BPF_H, atType)
		p.unless(swapped16(rtnl.RTM_DELROUTE))
		p.drop()
		p.load(unix.BPF_H, atFlags)
		*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: swapped16(rtnl.NLM_F_EXCL)})
		p.drop()
		return
	}
	p.load(unix.BPF_H, atFlags)
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 1, K: swapped16(rtnl.NLM_F_REPLACE)})
	p.drop()
}

// tables drops routes of other tables. One that does not tell its table passes.
func (p *bpf) tables(of []fib.TableID) {
	if len(of) == 0 {
		return
	}
	p.op(unix.BPF_LDX|unix.BPF_IMM, rtaTable)
	p.op(unix.BPF_LD|unix.BPF_IMM, atAttrs)
	p.load(unix.BPF_W, findAttr)
	p.unless(0)
	p.pass()
	p.op(unix.BPF_MISC|unix.BPF_TAX, 0)
	p.op(unix.BPF_LD|unix.BPF_W|unix.BPF_IND, attrValue)
	for _, t := range of {
		p.unless(swapped32(uint32(t)))
		p.pass()
	}
	p.drop()
}
