package hashzone

// heads4 is the bitmaps of IPv4 for bands 1 and 2. There are few enough blocks to find
// them by address: on a full table that saves a lookup three accesses to distant memory.
// Like zones and pages, it is changed in place only by the editor whose epoch it carries.
type heads4 struct {
	epoch uint64
	by8   [256]uint64  // band 1, by the first byte of the address
	by16  [256]*page16 // band 2, by the first byte
}

// page16 is the bitmaps of band 2, by the second byte of the address.
type page16 struct {
	epoch uint64
	by16  [256]uint32
}

// get returns the bitmap of band b for the address whose first bits are hi. The heads
// may be nil.
func (h *heads4) get(b int, hi uint64) uint64 {
	switch {
	case h == nil:
		return 0
	case b == 1:
		return h.by8[hi>>56]
	}
	p := h.by16[hi>>56]
	if p == nil {
		return 0
	}
	return uint64(p.by16[hi>>48&255])
}

// set changes a bitmap in heads that are owned.
func (h *heads4) set(b int, hi uint64, m uint64) {
	if b == 1 {
		h.by8[hi>>56] = m
		return
	}
	p := &h.by16[hi>>56]
	switch {
	case *p == nil:
		*p = &page16{epoch: h.epoch}
	case (*p).epoch != h.epoch:
		owned := **p
		owned.epoch = h.epoch
		*p = &owned
	}
	(*p).by16[hi>>48&255] = uint32(m)
}

// own returns heads that the editor of this epoch may change: h itself, a copy that
// shares pages, or new ones for nil.
func (h *heads4) own(epoch uint64) *heads4 {
	switch {
	case h == nil:
		return &heads4{epoch: epoch}
	case h.epoch == epoch:
		return h
	}
	owned := *h
	owned.epoch = epoch
	return &owned
}
