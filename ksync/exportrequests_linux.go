package ksync

import (
	"encoding/binary"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/rtnl"
	"github.com/fibula-net/fibula/ksync/plan"
	"github.com/fibula-net/fibula/rules"
)

// requests are sent in one system call.
type requests struct {
	out     []byte
	starts  []int // where in out each begins
	first   uint32
	errs    []error // nil entries succeeded
	replied bool    // any entry of errs is set
}

func newRequests() *requests {
	return &requests{starts: make([]int, 0, writeBatch), errs: make([]error, writeBatch)}
}

func (b *requests) clear() { b.out, b.starts = b.out[:0], b.starts[:0] }

func (b *requests) full() bool { return len(b.starts) == writeBatch || len(b.out) > writeBytes }

// request is the i-th.
func (b *requests) request(i int) []byte {
	end := len(b.out)
	if i+1 < len(b.starts) {
		end = b.starts[i+1]
	}
	return b.out[b.starts[i]:end]
}

// verbOf tells from its head what a request asks for.
func verbOf(request []byte) (plan.Verb, plan.Kind) {
	typ, flags := binary.NativeEndian.Uint16(request[4:]), binary.NativeEndian.Uint16(request[6:])
	v, k := plan.Add, plan.Rule
	switch typ {
	case rtnl.RTM_NEWNEXTHOP, rtnl.RTM_DELNEXTHOP:
		k = plan.Nexthop
	case rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE:
		k = plan.Route
	}
	switch {
	case typ == rtnl.RTM_DELNEXTHOP || typ == rtnl.RTM_DELROUTE || typ == rtnl.RTM_DELRULE:
		v = plan.Delete
	case flags&rtnl.NLM_F_REPLACE != 0:
		v = plan.Replace
	case flags&rtnl.NLM_F_APPEND != 0:
		v = plan.Append
	}
	return v, k
}

// decodeOp is the operation that a request asks for.
func decodeOp(request []byte) (op plan.Op, err error) {
	m, _, err := rtnl.Next(request)
	if err != nil {
		return op, err
	}
	switch op.Verb, op.Kind = verbOf(request); op.Kind {
	case plan.Nexthop:
		op.Nexthop = new(fib.NexthopObject)
		err = rtnl.DecodeNexthop(m, op.Nexthop, nil)
	case plan.Route:
		op.Route = new(fib.Route)
		err = rtnl.DecodeRoute(m, op.Route, nil)
	default:
		var q rules.Request
		err = rtnl.DecodeRule(m, &q, nil)
		op.Rule = &q.Rule
	}
	return op, err
}
