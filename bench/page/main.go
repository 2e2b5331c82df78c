// Command page writes docs/benchmarks.md and docs/lockstep-figures.md from what fibula bench
// measured: run it through "make benchmarks" and "make lockstep-figures".
package main

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/fibula-net/fibula/bench/goals"
	"github.com/fibula-net/fibula/bench/results"
)

func main() {
	if len(os.Args) != 5 || pages[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: page benchmarks|lockstep REPORT-DIR GOALS-FILE NOTES-FILE >PAGE")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

//go:embed page.md
var benchmarks string

//go:embed lockstep.md
var lockstep string

var pages = map[string]*template.Template{"benchmarks": parse(benchmarks), "lockstep": parse(lockstep)}

func parse(source string) *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{"cell": cell, "minutes": minutes, "megabytes": megabytes, "sign": sign, "holds": holds}).Parse(source))
}

// write makes the page. What people found out about the figures (why a goal is
// missed, what was tried) is in the notes, which the page takes over.
func write(w io.Writer, page, dir, goalsFile, notesFile string) error {
	var run results.Run
	data, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &run); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	if len(run.Wrong) > 0 {
		return fmt.Errorf("answers were wrong, so no figure means anything: %s", run.Wrong[0])
	}
	f, err := os.Open(goalsFile)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := goals.ReadJSON(f)
	if err != nil {
		return err
	}
	notes, err := os.ReadFile(notesFile)
	if err != nil {
		return err
	}
	plots, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		return err
	}
	for i, p := range plots {
		plots[i] = strings.TrimSuffix(filepath.Base(p), ".svg")
	}
	slices.Sort(plots)
	soak, err := soaked(filepath.Join(dir, "soak.json"))
	if err != nil {
		return err
	}
	var text strings.Builder
	if err := run.WriteText(&text); err != nil {
		return err
	}
	return pages[page].Execute(w, map[string]any{"Run": run, "Goals": rows, "Notes": strings.TrimSpace(string(notes)), "Plots": plots,
		"Dir": filepath.Base(dir), "Text": strings.TrimSpace(text.String()), "Soak": soak})
}

// sample is what TestSoak writes.
type sample struct {
	After                                                                 float64
	Rounds, Heap, RSS, Goroutines, Descriptors, Overruns, Drift, Repaired uint64
}

// soaked are some of the samples of a soak, the first and the last among them; none, if there was none.
func soaked(file string) (out []sample, err error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []sample
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	const rows = 6
	for i := range min(rows, len(all)) {
		out = append(out, all[i*(len(all)-1)/max(min(rows, len(all))-1, 1)])
	}
	return out, nil
}

func minutes(seconds float64) string { return fmt.Sprintf("%.0f", seconds/60) }

func megabytes(n uint64) string { return fmt.Sprintf("%.1f", float64(n)/1e6) }

func sign(r goals.Row) string {
	if r.AtMost {
		return "≤"
	}
	return "≥"
}

func cell(r goals.Row) string {
	if r.Measured == nil {
		return "not measured: " + r.Why
	}
	return fmt.Sprintf("%s (%s – %s)", number(*r.Measured), number(r.Spread.Low), number(r.Spread.High))
}

// number has three digits, and all before the point.
func number(x float64) string {
	if x >= 1000 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

func holds(r goals.Row) string {
	switch {
	case r.Holds == nil:
		return ""
	case *r.Holds:
		return "yes"
	}
	return "no"
}
