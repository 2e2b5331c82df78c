package lockstep

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
)

// Zebra's API, as of FRR 8: messages in network order, with a head of ten bytes.
const (
	zapiMarker, zapiVersion = 254, 6
	zapiRouteAdd            = 8
	zapiHello               = 18
	zapiStatic              = 3 // the kind of route, and of client
	zapiHasNexthops         = 1
	zapiUnicast             = 1
	zapiVia                 = 3 // IPv4 gateway and interface
	zapiInet                = 2
)

// client is a client of zebra that has routes for it.
type client struct{ net.Conn }

func zapiDial(socket string) (*client, error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, c) }() // what zebra tells; ends with the connection
	hello := zapi(nil, zapiHello, func(b []byte) []byte { return append(b, zapiStatic, 0, 0, 0, 0, 0, 0, 0, 0) })
	if _, err := c.Write(hello); err != nil {
		c.Close()
		return nil, err
	}
	return &client{c}, nil
}

// announce sends all routes.
func (c *client) announce(all []netip.Prefix) error {
	var out []byte
	for i, p := range all {
		out = zapi(out, zapiRouteAdd, func(b []byte) []byte { return zapiRoute(b, p) })
		if len(out) > 32<<10 || i == len(all)-1 {
			if _, err := c.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	return nil
}

// zapi appends a message.
func zapi(b []byte, command uint16, body func([]byte) []byte) []byte {
	start := len(b)
	b = append(b, 0, 0, zapiMarker, zapiVersion, 0, 0, 0, 0) // of the default VRF
	b = body(binary.BigEndian.AppendUint16(b, command))
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

func zapiRoute(b []byte, p netip.Prefix) []byte {
	be := binary.BigEndian
	b = be.AppendUint32(append(b, zapiStatic, 0, 0), 0) // no flags
	b = append(be.AppendUint32(b, zapiHasNexthops), zapiUnicast, zapiInet, byte(p.Bits()))
	b = append(b, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	b = be.AppendUint32(be.AppendUint16(b, 1), 0) // one nexthop, of the default VRF
	b = append(append(b, zapiVia, 0), gateway.AsSlice()...)
	return be.AppendUint32(b, uplink)
}
