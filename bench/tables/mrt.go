package tables

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// MRT (RFC 6396): records, each with a header of twelve bytes: time, type, subtype,
// length. Of a dump of a BGP router's table only the prefixes matter here, which stand
// at the beginning of each record, before the paths by which many peers know them.
// These are skipped unread, and make up nearly all of such a file.
const (
	mrtHeader = 12

	mrtTableDumpV2 = 13

	mrtPeerIndex   = 1
	mrtIPv4        = 2
	mrtIPv6        = 4
	mrtIPv4AddPath = 8 // RFC 8050
	mrtIPv6AddPath = 10

	mrtLastSubtype = 12

	// maxRecord bounds a record: a thousand peers with long paths need a tenth of it.
	maxRecord = 1 << 24
)

func isMRT(head []byte) bool {
	if len(head) < mrtHeader {
		return false
	}
	kind, sub := binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint16(head[6:])
	return kind == mrtTableDumpV2 && sub >= mrtPeerIndex && sub <= mrtLastSubtype
}

// readMRT reads the unicast prefixes of a dump. Records of other types, and multicast
// tables, are passed over. A dump that ends inside a record is an error.
func readMRT(in io.Reader) ([]netip.Prefix, error) {
	var all []netip.Prefix
	var head [mrtHeader + 4 + 1 + 16]byte // with sequence number, length, address
	for n := 1; ; n++ {
		if _, err := io.ReadFull(in, head[:mrtHeader]); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("record %d: %w", n, err)
		}
		size := int64(binary.BigEndian.Uint32(head[8:]))
		if size > maxRecord {
			return nil, fmt.Errorf("record %d: %d bytes long", n, size)
		}
		width := 0
		if binary.BigEndian.Uint16(head[4:]) == mrtTableDumpV2 {
			switch binary.BigEndian.Uint16(head[6:]) {
			case mrtIPv4, mrtIPv4AddPath:
				width = 4
			case mrtIPv6, mrtIPv6AddPath:
				width = 16
			}
		}
		body := head[mrtHeader:mrtHeader]
		if width > 0 {
			body = head[mrtHeader:][:min(size, int64(4+1+width))]
			if _, err := io.ReadFull(in, body); err != nil {
				return nil, fmt.Errorf("record %d: %w", n, cut(err))
			}
			p, err := mrtPrefix(body, width)
			if err != nil {
				return nil, fmt.Errorf("record %d: %w", n, err)
			}
			if len(all) == maxPrefixes {
				return nil, errTooMany
			}
			all = append(all, p)
		}
		if _, err := io.CopyN(io.Discard, in, size-int64(len(body))); err != nil {
			return nil, fmt.Errorf("record %d: %w", n, cut(err))
		}
	}
}

// cut makes an end inside a record different from one between records.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// mrtPrefix reads a prefix behind a sequence number: its length in bits, then as many
// bytes of it as that needs.
func mrtPrefix(body []byte, width int) (netip.Prefix, error) {
	if len(body) < 5 {
		return netip.Prefix{}, errors.New("too short for a prefix")
	}
	bits := int(body[4])
	addr := body[5:]
	need := (bits + 7) / 8
	if bits > 8*width || need > len(addr) {
		return netip.Prefix{}, fmt.Errorf("a prefix of %d bits in %d bytes", bits, len(addr))
	}
	// The bytes behind the prefix are those of what follows.
	full := append(bytes.Clone(addr[:need]), make([]byte, width-need)...)
	a, _ := netip.AddrFromSlice(full)
	return a.Prefix(bits)
}
