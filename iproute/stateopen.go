package iproute

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// Open reads a state from what lies at paths, whatever it is: a state file ([WriteState]),
// gzipped or not; a capture ([CaptureCommand]) as a directory, a tar or a tar.gz; files that
// "ip route save" or "ip rule save" wrote. Several paths are one capture, in parts.
//
// What is gzipped may unpack to 1 GiB, and to no more than real states do for their size.
// Errors name the path, what was seen and what is accepted. See [ReadState] and
// [ReadCapture] for the warnings.
func Open(paths ...string) (*fib.State, []string, error) {
	if len(paths) == 0 {
		return nil, nil, errors.New("no state given: expected a state file, a capture or a saved dump")
	}
	all, n := memFS{}, &notes{}
	for _, p := range paths {
		st, warnings, err := openInto(all, p, len(paths) == 1, n)
		if err != nil || st != nil {
			return st, warnings, err
		}
	}
	st, warnings, err := ReadCapture(all)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", strings.Join(paths, ", "), err)
	}
	return st, append(n.list(), warnings...), nil
}

// openInto reads the state file at p, if alone and it is one, or adds the parts of a capture
// at p to all, with notes about what it left.
func openInto(all memFS, p string, alone bool, n *notes) (*fib.State, []string, error) {
	info, err := os.Stat(p)
	if err != nil {
		return nil, nil, err
	}
	if info.IsDir() {
		if alone {
			st, warnings, err := ReadCapture(os.DirFS(p))
			if err != nil {
				err = fmt.Errorf("%s: %w", p, err)
			}
			return st, warnings, err
		}
		return nil, nil, all.addFS(p, os.DirFS(p))
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r, err := gunzip(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p, err)
	}
	b := bufio.NewReaderSize(r, lexBuffer)
	head, err := b.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("%s: %w", p, err)
	}
	switch start := bytes.TrimSpace(head); {
	case isDump(head):
		return nil, nil, all.add(filepath.ToSlash(p), b)
	case isTar(head):
		return nil, nil, all.addTar(p, b, n)
	case len(start) > 0 && start[0] == '{':
		if !alone {
			return nil, nil, fmt.Errorf("%s: a state file is complete and goes with no other; name it alone", p)
		}
		return readState(p, b)
	case kindOf(filepath.ToSlash(p)) != fileUnknown:
		return nil, nil, all.add(filepath.ToSlash(p), b)
	}
	if len(head) == 0 {
		return nil, nil, fmt.Errorf("%s: the file is empty", p)
	}
	return nil, nil, fmt.Errorf("%s: starts with %.16q; expected a state file ({\"format\":\"fibula-state\"…), a directory, tar or tar.gz of a capture, "+
		"a part of one under its name (route.json), or what ip route save or ip rule save wrote", p, head[:min(len(head), 16)])
}

func isTar(head []byte) bool { return len(head) >= 262 && string(head[257:262]) == "ustar" }
