package rtnl

import (
	"errors"
	"fmt"

	"github.com/fibula-net/fibula/fib"
)

const (
	nexthopHeadLen = 8
	groupEntryLen  = 8
	maxBuckets     = 1<<16 - 1
)

// DecodeNexthop reads an RTM_NEWNEXTHOP or RTM_DELNEXTHOP. The buckets of a
// resilient group come in messages of their own ([DecodeBucket]); Buckets has
// room for them, with id 0. A group's weights are as configured, the stored
// number plus one. Allocates for groups only.
func DecodeNexthop(m Message, o *fib.NexthopObject, rep *Report) error {
	*o = fib.NexthopObject{}
	b := m.Data
	if len(b) < nexthopHeadLen {
		return short(&m, nexthopHeadLen)
	}
	var d field
	o.Family, o.Scope, o.Protocol = fib.Family(b[0]), fib.Scope(b[1]), fib.Protocol(b[2])
	if o.Family != 0 {
		if _, err := family(&m, b[0], rep); err != nil {
			return err
		}
	}
	flags, buckets := ne.Uint32(b[4:]), uint16(0)
	o.Nexthop.Flags = fib.NexthopFlags(flags & legFlags)
	rep.flags(m.Type, "nh_flags", flags&^legFlags)
	for b = b[nexthopHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		switch t {
		case nhaID:
			o.ID = d.u32("NHA_ID", v)
		case nhaGroup:
			err = groupMembers(o, v)
		case nhaGroupType:
			switch gt := d.u16("NHA_GROUP_TYPE", v); gt {
			case nexthopGroupMultipath:
			case nexthopGroupResilient:
				o.Resilient = true
			default:
				rep.value(m.Type, "NHA_GROUP_TYPE", uint32(gt))
			}
		case nhaBlackhole:
			o.Blackhole = true
		case nhaOif:
			o.Nexthop.Link = d.link("NHA_OIF", v)
		case nhaGateway:
			o.Nexthop.Gateway = d.addr("NHA_GATEWAY", o.Family, v)
		case nhaEncapType:
			o.Nexthop.Encap.Type = d.u16("NHA_ENCAP_TYPE", v)
		case nhaEncap:
			o.Nexthop.Encap.Data = string(v)
		case nhaFDB:
			o.FDB = true
		case nhaResGroup:
			err = resilient(&m, &d, o, v, &buckets, rep)
		case nhaOpFlags: // says that 16-bit weights are understood
		default:
			rep.attr(m.Type, &nhaSpace, t)
		}
		if err != nil {
			return wrap(&m, err)
		}
	}
	if o.ID == 0 && d.err == nil {
		d.err = errors.New("NHA_ID is missing or 0")
	}
	if !o.IsGroup() {
		o.Nexthop.Weight = 1
	}
	if buckets > 0 {
		o.Buckets = make([]uint32, buckets)
	}
	return wrap(&m, d.err)
}

func groupMembers(o *fib.NexthopObject, v []byte) error {
	if len(v) == 0 || len(v)%groupEntryLen != 0 {
		return lengthError("NHA_GROUP", v)
	}
	o.Group = make([]fib.GroupMember, 0, len(v)/groupEntryLen)
	for ; len(v) > 0; v = v[groupEntryLen:] {
		// Stored weights are one less; the upper half came with Linux 6.12.
		w := uint32(v[4]) + uint32(v[5])<<8 + 1
		if w > 1<<16-1 {
			return fmt.Errorf("NHA_GROUP: member %d has weight %d", ne.Uint32(v), w)
		}
		o.Group = append(o.Group, fib.GroupMember{ID: ne.Uint32(v), Weight: uint16(w)})
	}
	return nil
}

func resilient(m *Message, d *field, o *fib.NexthopObject, b []byte, buckets *uint16, rep *Report) error {
	for len(b) > 0 {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return fmt.Errorf("NHA_RES_GROUP: %w", err)
		}
		b = rest
		switch t {
		case nhaResGroupBuckets:
			*buckets = d.u16("NHA_RES_GROUP_BUCKETS", v)
		case nhaResGroupIdleTimer:
			o.IdleTimer = d.u32("NHA_RES_GROUP_IDLE_TIMER", v)
		case nhaResGroupUnbalancedTimer:
			o.UnbalancedTimer = d.u32("NHA_RES_GROUP_UNBALANCED_TIMER", v)
		case 0, nhaResGroupUnbalancedTime: // padding; a clock
		default:
			rep.attr(m.Type, &resGroupSpace, t)
		}
	}
	return nil
}

// Bucket is one bucket of a resilient nexthop group.
type Bucket struct {
	Group  uint32 // id of the group
	Index  uint16
	Member uint32 // id of the nexthop that the bucket holds now
}

// DecodeBucket reads an RTM_NEWNEXTHOPBUCKET.
func DecodeBucket(m Message, k *Bucket, rep *Report) error {
	*k = Bucket{}
	if len(m.Data) < nexthopHeadLen {
		return short(&m, nexthopHeadLen)
	}
	var d field
	for b := m.Data[nexthopHeadLen:]; len(b) > 0; {
		t, v, rest, err := nextAttr(b)
		if err != nil {
			return wrap(&m, err)
		}
		b = rest
		switch t {
		case nhaID:
			k.Group = d.u32("NHA_ID", v)
		case nhaResBucket:
			for len(v) > 0 {
				t, w, rest, err := nextAttr(v)
				if err != nil {
					return wrap(&m, err)
				}
				v = rest
				switch t {
				case nhaResBucketIndex:
					k.Index = d.u16("NHA_RES_BUCKET_INDEX", w)
				case nhaResBucketNHID:
					k.Member = d.u32("NHA_RES_BUCKET_NH_ID", w)
				case 0, nhaResBucketIdleTime: // padding; a clock
				default:
					rep.attr(m.Type, &resBucketSpace, t)
				}
			}
		default:
			rep.attr(m.Type, &nhaSpace, t)
		}
	}
	return wrap(&m, d.err)
}

// AppendNexthop appends o as a request, h.Type RTM_NEWNEXTHOP or RTM_DELNEXTHOP;
// a delete carries the id alone. Marks that are states are not sent.
func AppendNexthop(b []byte, h Header, o *fib.NexthopObject) ([]byte, error) {
	e := begin(b, h)
	if h.Type == RTM_DELNEXTHOP {
		e.b = append(e.b, make([]byte, nexthopHeadLen)...)
		e.u32(nhaID, o.ID)
		return e.end()
	}
	e.bytes(byte(o.Family), 0, byte(o.Protocol), 0)
	e.num32(uint32(o.Nexthop.Flags) & settable)
	if o.ID != 0 {
		e.u32(nhaID, o.ID)
	}
	switch {
	case o.IsGroup():
		e.group(o)
	case o.Blackhole:
		e.raw(nhaBlackhole, nil)
	default:
		if o.Nexthop.Link != 0 {
			e.u32(nhaOif, uint32(o.Nexthop.Link))
		}
		e.addr(nhaGateway, o.Nexthop.Gateway)
		if o.Nexthop.Encap.Type != 0 {
			e.u16(nhaEncapType, o.Nexthop.Encap.Type)
			e.raw(nhaEncap|nlaNested, []byte(o.Nexthop.Encap.Data))
		}
	}
	if o.FDB {
		e.raw(nhaFDB, nil)
	}
	b, err := e.end()
	if err != nil {
		return b, fmt.Errorf("nexthop %d: %w", o.ID, err)
	}
	return b, nil
}

func (e *encoder) group(o *fib.NexthopObject) {
	if len(o.Buckets) > maxBuckets && e.err == nil {
		e.err = fmt.Errorf("%d buckets do not fit, %d would", len(o.Buckets), maxBuckets)
	}
	var v []byte
	for _, g := range o.Group {
		w := max(g.Weight, 1) - 1
		v = append(ne.AppendUint32(v, g.ID), byte(w), byte(w>>8), 0, 0)
	}
	e.raw(nhaGroup, v)
	if !o.Resilient {
		return
	}
	e.u16(nhaGroupType, nexthopGroupResilient)
	open := e.nest(nhaResGroup)
	if len(o.Buckets) > 0 {
		e.u16(nhaResGroupBuckets, uint16(len(o.Buckets)))
	}
	e.u32(nhaResGroupIdleTimer, o.IdleTimer)
	e.u32(nhaResGroupUnbalancedTimer, o.UnbalancedTimer)
	e.close(open)
}
