package tables

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// maxPrefixes bounds what is read of a file, repeated prefixes included: more than
// any router has, and what memory can hold.
const maxPrefixes = 1 << 25

var errTooMany = fmt.Errorf("more than %d prefixes", maxPrefixes)

// Open reads a file of prefixes: a list, one a line, or an MRT dump of type
// TABLE_DUMP_V2; either may be compressed by gzip or bzip2. What it is shows in the
// file, not in its name.
func Open(path string) (Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return Table{}, err
	}
	defer f.Close()
	name := filepath.Base(path)
	all, kind, err := Read(f)
	if err != nil {
		return Table{}, fmt.Errorf("%s: %w", name, err)
	}
	t := Of(name, kind+" "+name, all)
	if t.Len() == 0 {
		return Table{}, fmt.Errorf("%s: no prefix in it", name)
	}
	return t, nil
}

// Read reads what Open reads. kind says which it was.
func Read(r io.Reader) (all []netip.Prefix, kind string, err error) {
	in, err := decompress(bufio.NewReaderSize(r, 1<<16))
	if err != nil {
		return nil, "", err
	}
	head, err := in.Peek(mrtHeader)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err
	}
	if isMRT(head) {
		all, err = readMRT(in)
		return all, "MRT dump", err
	}
	all, err = readList(in)
	return all, "list", err
}

func decompress(in *bufio.Reader) (*bufio.Reader, error) {
	head, err := in.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		return bufio.NewReaderSize(z, 1<<16), nil
	case bytes.HasPrefix(head, []byte("BZh")):
		return bufio.NewReaderSize(bzip2.NewReader(in), 1<<16), nil
	}
	return in, nil
}

// readList reads a prefix from the beginning of each line. A # starts a comment, what
// follows the prefix is left alone, and an address alone is a prefix of full length.
func readList(in io.Reader) ([]netip.Prefix, error) {
	var all []netip.Prefix
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		p, err := prefix(words[0])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(all) == maxPrefixes {
			return nil, errTooMany
		}
		all = append(all, p)
	}
	return all, lines.Err()
}

func prefix(word string) (netip.Prefix, error) {
	if strings.Contains(word, "/") {
		return netip.ParsePrefix(word)
	}
	a, err := netip.ParseAddr(word)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no prefix", word)
	}
	return a.WithZone("").Prefix(a.BitLen())
}
