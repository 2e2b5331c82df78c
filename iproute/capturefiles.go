package iproute

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/fibula-net/fibula/fib"
)

// fileKind is what a file of a capture holds.
type fileKind uint8

const (
	fileUnknown fileKind = iota
	fileLink
	fileAddr
	fileRule
	fileRule6
	fileRoute
	fileRoute6
	fileNexthop
	fileNexthop6
	fileBucket
	fileNeigh
	fileAddrLabel
	fileGet
	fileSysctl
	fileKernel
	fileIGMP
	fileIGMP6
	fileNames
	fileDump
)

// fileWords are the words of which one in a file's name tells its kind; the first hit in
// this order counts.
var fileWords = []struct {
	kind  fileKind
	words []string
}{
	{fileGet, []string{"get"}},
	{fileBucket, []string{"bucket", "buckets"}},
	{fileNexthop, []string{"nexthop", "nexthops", "nh"}},
	{fileAddrLabel, []string{"addrlabel", "addrlabels"}},
	{fileRule, []string{"rule", "rules", "ru"}},
	{fileRoute, []string{"route", "routes", "r", "ro"}},
	{fileNeigh, []string{"neigh", "neighbour", "neighbor", "n"}},
	{fileAddr, []string{"addr", "address", "addresses", "a"}},
	{fileLink, []string{"link", "links", "l"}},
	{fileSysctl, []string{"sysctl", "sysctls"}},
	{fileKernel, []string{"kernel", "uname"}},
	{fileIGMP, []string{"igmp"}},
	{fileIGMP6, []string{"igmp6"}},
}

// nameFiles are the databases that LoadNames reads.
var nameFiles = []string{"rt_tables", "rt_protos", "rt_scopes", "rt_realms", "rt_dsfield", "group", "protocols"}

// kindOf tells the kind of a file from its name: "rule6.json", "ip_-j_-6_rule.txt".
func kindOf(name string) fileKind {
	base := path.Base(name)
	if slices.Contains(nameFiles, base) {
		return fileNames
	}
	words := strings.FieldsFunc(strings.ToLower(base), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, f := range fileWords {
		for _, w := range words {
			for _, want := range f.words {
				switch w {
				case want:
					return f.kind.six(slices.Contains(words, "6") || slices.Contains(words, "inet6") || slices.Contains(words, "ipv6"))
				case want + "4":
					return f.kind
				case want + "6":
					if s := f.kind.six(true); s != f.kind {
						return s
					}
				}
			}
		}
	}
	return fileUnknown
}

// six is the kind that holds the same of IPv6.
func (k fileKind) six(yes bool) fileKind {
	if yes && (k == fileRule || k == fileRoute || k == fileNexthop) {
		return k + 1
	}
	return k
}

// captureFiles are the files of a capture by kind, in order of their names.
type captureFiles struct {
	of    map[fileKind][]string
	count int
}

const maxCaptureFiles = 10_000

// seen lists what is there, for messages.
func (f *captureFiles) seen() string {
	var all []string
	for _, names := range f.of {
		for _, name := range names {
			all = append(all, clip(name))
		}
	}
	slices.Sort(all)
	if len(all) > 8 {
		all = append(all[:8], "…")
	}
	if len(all) == 0 {
		return "no file"
	}
	return strings.Join(all, ", ")
}

func newCapture(fsys fs.FS) (*capture, error) {
	c := &capture{fsys: fsys, notes: &notes{}, saved: map[savedTable]string{}, savedRule: map[fib.Family]string{},
		links: newLinkTable("the link file does not have it; capture again"),
		st:    &fib.State{Sysctls: fib.DefaultSysctls(), AddrLabels: fib.DefaultAddrLabels()}}
	c.files.of = map[fileKind][]string{}
	err := fs.WalkDir(fsys, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type()&fs.ModeSymlink != 0 {
			c.notes.add("%s: not used: a symbolic link", clip(name))
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if c.files.count++; c.files.count > maxCaptureFiles {
			return fmt.Errorf("more than %d files: not a capture", maxCaptureFiles)
		}
		head, err := c.head(name, 4)
		if err != nil {
			return err
		}
		kind := kindOf(name)
		if isDump(head) {
			kind = fileDump
		}
		if printable(name) != name {
			kind = fileUnknown // the names of the others may stand in messages as they are
		}
		c.files.of[kind] = append(c.files.of[kind], name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range c.files.of[fileUnknown] {
		c.notes.add("%s: not used: its name tells no part of a capture", clip(name))
	}
	for kind, names := range c.files.of {
		if len(names) > 1 && kind != fileDump && kind != fileNames && kind != fileUnknown {
			return nil, fmt.Errorf("%s and %s hold the same part of a capture; are there two captures in one place?", names[0], names[1])
		}
	}
	return c, nil
}

func (c *capture) readNames() error {
	if len(c.files.of[fileNames]) == 0 {
		return nil
	}
	var warnings []string
	c.names, warnings = LoadNames(flatNames{c.fsys, c.files.of[fileNames]})
	for _, w := range warnings {
		c.notes.add("%s", w)
	}
	return nil
}

// flatNames shows name files, wherever they lie, where LoadNames looks for them.
type flatNames struct {
	fs.FS
	files []string
}

func (f flatNames) Open(name string) (fs.File, error) {
	for _, file := range f.files {
		if path.Base(file) == path.Base(name) {
			return f.FS.Open(file)
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// maxTextFile bounds the files that are read whole: settings, names and the like.
const maxTextFile = 64 << 20

// text reads the one file of kind; nil without one.
func (c *capture) text(kind fileKind) (name string, data []byte, err error) {
	if len(c.files.of[kind]) == 0 {
		return "", nil, nil
	}
	name = c.files.of[kind][0]
	f, err := c.fsys.Open(name)
	if err != nil {
		return name, nil, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxTextFile+1))
	if err == nil && len(data) > maxTextFile {
		err = fmt.Errorf("%s: larger than %d MiB", name, maxTextFile>>20)
	}
	return name, data, err
}
