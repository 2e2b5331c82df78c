package iproute

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxCapture bounds what is unpacked into memory.
const maxCapture = 1 << 30 // bytes

// memFS is a file system in memory: the members of a tar, or files from several places.
type memFS map[string][]byte

func (m memFS) size() (n int64) {
	for _, b := range m {
		n += int64(len(b))
	}
	return n
}

func (m memFS) add(name string, r io.Reader) error {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if _, twice := m[name]; twice || name == "" {
		return fmt.Errorf("file %.80q appears twice, or has no name", name)
	}
	shown := clip(name)
	room := maxCapture - m.size()
	data, err := io.ReadAll(io.LimitReader(r, room+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", shown, err)
	case int64(len(data)) > room:
		return fmt.Errorf("%s: the capture is larger than %d GiB; unpack it, and name the directory", shown, maxCapture>>30)
	case len(m) >= maxCaptureFiles:
		return fmt.Errorf("more than %d files: not a capture", maxCaptureFiles)
	}
	m[name] = data
	return nil
}

// addTar adds the plain files of a tar. Links are not followed, and noted.
func (m memFS) addTar(p string, r io.Reader, n *notes) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: damaged tar: %w", p, err)
		}
		if isSparse(h) {
			return fmt.Errorf("%s: %s: a sparse file, whose holes may be of any size; make the tar without --sparse", p, clip(h.Name))
		}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeLink, tar.TypeSymlink:
			n.add("%s: %s: not used: a link; make the tar with --dereference and --hard-dereference", p, clip(h.Name))
			continue
		default:
			continue
		}
		if err := m.add(h.Name, t); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
}

// isSparse reports a member that is larger than what the tar holds of it.
func isSparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

func (m memFS) addFS(p string, fsys fs.FS) error {
	return fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return m.add(filepath.ToSlash(filepath.Join(p, name)), f)
	})
}

func (m memFS) Open(name string) (fs.File, error) {
	data, ok := m[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return memFile{bytes.NewReader(data), memInfo{path.Base(name), int64(len(data)), false}}, nil
}

func (m memFS) Stat(name string) (fs.FileInfo, error) {
	if data, ok := m[name]; ok {
		return memInfo{path.Base(name), int64(len(data)), false}, nil
	}
	for f := range m {
		if name == "." || strings.HasPrefix(f, name+"/") {
			return memInfo{path.Base(name), 0, true}, nil
		}
	}
	if name == "." {
		return memInfo{".", 0, true}, nil
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

func (m memFS) ReadDir(name string) (out []fs.DirEntry, err error) {
	children := map[string]memInfo{}
	for f, data := range m {
		rest, below := f, true
		if name != "." {
			rest, below = strings.CutPrefix(f, name+"/")
		}
		if !below {
			continue
		}
		child, _, isDir := strings.Cut(rest, "/")
		if old, ok := children[child]; ok && old.dir {
			continue
		}
		children[child] = memInfo{child, int64(len(data)), isDir}
	}
	for _, child := range slices.Sorted(maps.Keys(children)) {
		out = append(out, children[child])
	}
	return out, nil
}

type memFile struct {
	*bytes.Reader
	info memInfo
}

func (f memFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f memFile) Close() error               { return nil }

// memInfo describes a file or a directory.
type memInfo struct {
	name string
	size int64
	dir  bool
}

func (i memInfo) Name() string               { return i.name }
func (i memInfo) Size() int64                { return i.size }
func (i memInfo) IsDir() bool                { return i.dir }
func (i memInfo) ModTime() time.Time         { return time.Time{} }
func (i memInfo) Sys() any                   { return nil }
func (i memInfo) Info() (fs.FileInfo, error) { return i, nil }
func (i memInfo) Type() fs.FileMode          { return i.Mode().Type() }

func (i memInfo) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}
