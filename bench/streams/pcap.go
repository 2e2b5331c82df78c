package streams

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/fibula-net/fibula/fib"
)

// OpenPcap makes a stream of a capture of traffic, see [FromPcap].
func OpenPcap(path string, f fib.Family, n int) (*Stream, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s, err := FromPcap(file, f, n)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return s, nil
}

// FromPcap makes a stream of n queries, rounded up to a power of two, of the packets
// in a capture (pcap or pcapng): the destinations of one family, in their order, from
// the beginning again when they end. Of packets in packets the outer one counts.
func FromPcap(in io.Reader, f fib.Family, n int) (*Stream, error) {
	n = roundUp(n)
	packets, link, err := openCapture(bufio.NewReader(in))
	if err != nil {
		return nil, err
	}
	var some [][2]uint64
	for count := 1; len(some) < n; count++ {
		data, _, err := packets.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("packet %d: %w", count, err)
		}
		if a, ok := destination(data, link); ok && a.Is4() == (f == fib.Inet) {
			some = append(some, pack(a))
		}
	}
	if len(some) == 0 {
		return nil, fmt.Errorf("no %v packet in it", f)
	}
	i := -1
	return fill("pcap", f, n, func() [2]uint64 { i++; return some[i%len(some)] }), nil
}

func openCapture(in *bufio.Reader) (gopacket.PacketDataSource, layers.LinkType, error) {
	head, err := in.Peek(4)
	if err != nil {
		return nil, 0, fmt.Errorf("no capture: %w", err)
	}
	if string(head) == "\x0a\x0d\x0d\x0a" { // a pcapng section
		r, err := pcapgo.NewNgReader(in, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			return nil, 0, err
		}
		return r, r.LinkType(), nil
	}
	r, err := pcapgo.NewReader(in)
	if err != nil {
		return nil, 0, err
	}
	return r, r.LinkType(), nil
}

// destination finds where a packet goes; false if it is no IP packet, or broken.
func destination(data []byte, link layers.LinkType) (netip.Addr, bool) {
	p := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	ip := p.NetworkLayer()
	if ip == nil {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(ip.NetworkFlow().Dst().Raw())
}
