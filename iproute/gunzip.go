package iproute

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
)

// A small file must not fill the memory: gzip packs zeros a thousand times smaller, states
// of a million like routes up to fifty times.
const (
	maxUnpacked  = 1 << 30  // bytes
	freeUnpacked = 16 << 20 // bytes, for which the ratio does not count
	maxRatio     = 250
)

// gunzip unpacks what starts as a gzip file does and passes on all else.
func gunzip(r io.Reader) (io.Reader, error) {
	packed := &counter{r: r}
	b := bufio.NewReaderSize(packed, lexBuffer)
	if magic, _ := b.Peek(2); len(magic) < 2 || magic[0] != 0x1f || magic[1] != 0x8b {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("starts like a gzip file, but: %w", err)
	}
	return &unpacker{counter: counter{r: z}, packed: packed}, nil
}

// counter counts the bytes that went through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// unpacker ends with an error where its output gets too large.
type unpacker struct {
	counter
	packed *counter
}

func (u *unpacker) Read(b []byte) (int, error) {
	n, err := u.counter.Read(b)
	if u.n > maxUnpacked || u.n > freeUnpacked && u.n > maxRatio*u.packed.n {
		return 0, fmt.Errorf("unpacks to more than %d MiB from %d KiB; if that is right, gunzip it first", u.n>>20, u.packed.n>>10)
	}
	return n, err
}
