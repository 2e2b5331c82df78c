package conformance

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Results are what one kernel showed: docs/conformance/MAJOR.MINOR.json, or
// engine.json for the tests in which no kernel took part.
type Results struct {
	Kernel string              `json:"kernel,omitempty"` // release; empty: none
	Holds  map[string][]string `json:"holds"`            // number → tests, sorted
}

// Name is the name of the results' file without ".json".
func (r *Results) Name() string {
	if r.Kernel == "" {
		return "engine"
	}
	parts := strings.SplitN(r.Kernel, ".", 3)
	return strings.Join(parts[:min(len(parts), 2)], ".")
}

// Collect sorts notes, one JSON object a line, by kernel. Of two releases with
// one name the later's notes are added to the former's.
func Collect(into map[string]*Results, notes io.Reader) error {
	sc := bufio.NewScanner(notes)
	for sc.Scan() {
		var n Note
		if err := json.Unmarshal(sc.Bytes(), &n); err != nil {
			return fmt.Errorf("note %q: %w", sc.Text(), err)
		}
		if !known(n.Number) {
			continue // noted with another edition of the reference
		}
		r := &Results{Kernel: n.Kernel, Holds: map[string][]string{}}
		if old := into[r.Name()]; old != nil {
			r = old
		}
		into[r.Name()] = r
		if at, found := slices.BinarySearch(r.Holds[n.Number], n.Test); !found {
			r.Holds[n.Number] = slices.Insert(r.Holds[n.Number], at, n.Test)
		}
	}
	return sc.Err()
}

// Encode writes results as they are committed.
func (r *Results) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "\t")
	return append(b, '\n'), err
}

// Data is the content of docs/conformance.
type Data struct {
	Kernels    []*Results        // by version; engine.json first
	Exceptions map[string]string // number → why no test can prove it
	Soak       *Soak             // nil: none was run
}

// Soak is the result of the long comparison, docs/conformance/soak.json.
type Soak struct {
	Kernel         string `json:"kernel"`
	Seed           uint64 `json:"seed"`
	Configurations int    `json:"configurations"`
	Flows          int    `json:"flows"`
	Rows           []struct {
		Family       string `json:"family"`
		Direction    string `json:"direction"`
		Outcome      string `json:"outcome"`
		Flows        int    `json:"flows"`
		Mismatches   int    `json:"mismatches"`
		Undetermined int    `json:"undetermined"`
	} `json:"rows"`
}

// ReadData reads docs/conformance.
func ReadData(dir fs.FS) (*Data, error) {
	d := &Data{Exceptions: map[string]string{}}
	files, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		b, err := fs.ReadFile(dir, file)
		if err != nil {
			return nil, err
		}
		var into any
		if file == "soak.json" {
			d.Soak = &Soak{}
			into = d.Soak
		} else {
			r := &Results{}
			d.Kernels, into = append(d.Kernels, r), r
		}
		if err := json.Unmarshal(b, into); err != nil {
			return nil, fmt.Errorf("%s: %w", path.Base(file), err)
		}
	}
	slices.SortFunc(d.Kernels, func(a, b *Results) int { return slices.Compare(version(a.Kernel), version(b.Kernel)) })
	b, err := fs.ReadFile(dir, "exceptions.txt")
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		number, why, ok := strings.Cut(string(line), ": ")
		if !ok || !known(number) {
			return nil, fmt.Errorf("exceptions.txt: %q is not NUMBER: REASON", line)
		}
		d.Exceptions[number] = why
	}
	return d, nil
}

func version(release string) (v []int) {
	for _, part := range strings.Split(release, ".") {
		n, _ := strconv.Atoi(part)
		v = append(v, n)
	}
	return v
}

// Tests returns every test that the data name, sorted.
func (d *Data) Tests() []string {
	all := map[string]bool{}
	for _, r := range d.Kernels {
		for _, tests := range r.Holds {
			for _, t := range tests {
				all[t] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(all), cmp.Compare[string])
}

// Unproved returns the statements that have neither a test nor an exception.
func (d *Data) Unproved() (out []string) {
	for _, s := range Statements() {
		held := slices.ContainsFunc(d.Kernels, func(r *Results) bool { return len(r.Holds[s.Number]) > 0 })
		if _, excepted := d.Exceptions[s.Number]; !held && !excepted {
			out = append(out, s.Number)
		}
	}
	return out
}
