package iproute

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"

	"github.com/fibula-net/fibula/fib"
)

// The kinds of lightweight tunnel, by LWTUNNEL_ENCAP_ number.
const (
	encapMPLS = 1
	encapIP   = 2
	encapIP6  = 4
	encapSeg6 = 5
)

var tunnelNames = [...]string{1: "mpls", "ip", "ila", "ip6", "seg6", "bpf", "seg6local", "rpl", "ioam6", "xfrm"}

func tunnelName(t uint16) string {
	if t > 0 && int(t) < len(tunnelNames) {
		return tunnelNames[t]
	}
	return "unknown"
}

// encapField is one word of an encapsulation with its value.
type encapField struct {
	key  string
	text string   // string value
	num  uint64   // number, if text and list are empty
	list []string // list of addresses
	kind encapKind
}

type encapKind uint8

const (
	encapNumber encapKind = iota
	encapText
	encapLabels // the text form has no key
	encapFlag
	encapSegments
)

// encapFields decodes the attributes of the kinds that ip prints in words and
// that are in use with routes: mpls, ip, ip6, seg6. The rest is opaque: its bytes
// in hexadecimal under "data". Malformed attributes are left out.
func encapFields(e fib.Encap) []encapField {
	switch e.Type {
	case encapMPLS:
		return mplsFields(e.Data)
	case encapIP, encapIP6:
		return tunnelFields(e.Type, e.Data)
	case encapSeg6:
		return seg6Fields(e.Data)
	}
	if e.Data == "" {
		return nil
	}
	return []encapField{{key: "data", text: hex.EncodeToString([]byte(e.Data)), kind: encapText}}
}

// eachAttr calls f for each attribute of a nest in the host's byte order.
func eachAttr(data string, f func(typ uint16, value string)) {
	for len(data) >= 4 {
		n := int(binary.NativeEndian.Uint16([]byte(data[:2])))
		if n < 4 || n > len(data) {
			return
		}
		f(binary.NativeEndian.Uint16([]byte(data[2:4]))&0x3fff, data[4:n])
		data = data[min((n+3)&^3, len(data)):]
	}
}

func mplsFields(data string) (fields []encapField) {
	eachAttr(data, func(typ uint16, v string) {
		switch {
		case typ == 1:
			labels := ""
			for len(v) >= 4 {
				entry := binary.BigEndian.Uint32([]byte(v))
				if v = v[4:]; labels != "" {
					labels += "/"
				}
				labels += strconv.FormatUint(uint64(entry>>12), 10)
				if entry&0x100 != 0 { // bottom of stack
					break
				}
			}
			fields = append(fields, encapField{key: "dst", text: labels, kind: encapLabels})
		case typ == 2 && len(v) >= 1:
			fields = append(fields, encapField{key: "ttl", num: uint64(v[0])})
		}
	})
	return fields
}

// tunnelFields decodes ip and ip6, whose attributes have the same numbers.
func tunnelFields(kind uint16, data string) (fields []encapField) {
	var attr [9]string
	eachAttr(data, func(typ uint16, v string) {
		if int(typ) < len(attr) {
			attr[typ] = v
		}
	})
	if len(attr[1]) == 8 {
		fields = append(fields, encapField{key: "id", num: binary.BigEndian.Uint64([]byte(attr[1]))})
	}
	addr := func(key, v string) {
		if a, ok := netip.AddrFromSlice([]byte(v)); ok {
			fields = append(fields, encapField{key: key, text: a.String(), kind: encapText})
		}
	}
	addr("src", attr[3])
	addr("dst", attr[2])
	hops, class := "ttl", "tos"
	if kind == encapIP6 {
		hops, class = "hoplimit", "tc"
	}
	if v := attr[4]; len(v) >= 1 {
		fields = append(fields, encapField{key: hops, num: uint64(v[0])})
	}
	if v := attr[5]; len(v) >= 1 {
		fields = append(fields, encapField{key: class, num: uint64(v[0])})
	}
	if v := attr[6]; len(v) >= 2 {
		flags := binary.BigEndian.Uint16([]byte(v))
		for _, f := range [...]struct {
			bit uint16
			key string
		}{{4, "key"}, {1, "csum"}, {8, "seq"}} {
			if flags&f.bit != 0 {
				fields = append(fields, encapField{key: f.key, kind: encapFlag})
			}
		}
	}
	return fields
}

var seg6Modes = [...]string{"inline", "encap", "l2encap", "encap.red", "l2encap.red"}

// seg6Fields decodes the mode and the segments; the header is that of RFC 8754
// section 2, 8 bytes long before its segment list.
func seg6Fields(data string) (fields []encapField) {
	eachAttr(data, func(typ uint16, v string) {
		if typ != 1 || len(v) < 12 {
			return
		}
		mode := binary.NativeEndian.Uint32([]byte(v))
		name := strconv.FormatUint(uint64(mode), 10)
		if int64(mode) < int64(len(seg6Modes)) {
			name = seg6Modes[mode]
		}
		header, last := v[4:], int(v[8])
		var segments []string
		for i := last; i >= 0; i-- {
			if at := 8 + 16*i; at+16 <= len(header) {
				a, _ := netip.AddrFromSlice([]byte(header[at : at+16]))
				segments = append(segments, a.String())
			}
		}
		fields = append(fields, encapField{key: "mode", text: name, kind: encapText},
			encapField{key: "segs", list: segments, kind: encapSegments})
	})
	return fields
}

func appendEncapText(b []byte, e fib.Encap) []byte {
	if e.Type == 0 {
		return b
	}
	b = append(append(append(b, " encap "...), tunnelName(e.Type)...), ' ')
	for _, f := range encapFields(e) {
		switch f.kind {
		case encapNumber:
			b = append(strconv.AppendUint(append(append(b, f.key...), ' '), f.num, 10), ' ')
		case encapText:
			b = append(append(append(append(b, f.key...), ' '), f.text...), ' ')
		case encapLabels:
			b = append(append(append(b, ' '), f.text...), ' ')
		case encapFlag:
			b = append(append(b, f.key...), ' ')
		case encapSegments:
			b = append(strconv.AppendInt(append(b, "segs "...), int64(len(f.list)), 10), " [ "...)
			for _, s := range f.list {
				b = append(append(b, s...), ' ')
			}
			b = append(b, "] "...)
		}
	}
	return b
}

// encap writes an encapsulation. ip puts its words beside those of the route,
// with "dst" and "tos" twice in one object; only StrictIP does as much. Otherwise
// they are an object under "encap_info".
func (p *Printer) encap(w *ipJSON, e fib.Encap) {
	if e.Type == 0 {
		return
	}
	w.stringField("encap", tunnelName(e.Type))
	fields := encapFields(e)
	if !p.StrictIP {
		if len(fields) == 0 {
			return
		}
		w.key("encap_info")
		w.openObject()
		defer w.closeObject()
	}
	for _, f := range fields {
		switch f.kind {
		case encapNumber:
			w.uintField(f.key, f.num)
		case encapText, encapLabels:
			w.stringField(f.key, f.text)
		case encapFlag:
			w.boolField(f.key, true)
		case encapSegments:
			w.key(f.key)
			w.openArray()
			for _, s := range f.list {
				w.string(s)
			}
			w.closeArray()
		}
	}
}
