package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// report writes a line for each mutant, and on a terminal what is being done.
type report struct {
	mu        sync.Mutex
	out, sign io.Writer
	begin     time.Time
	total     int
	done      int
	width     int
	byStage   map[string]int
	survivors []mutant
}

// terminalOnly is w if a person looks at it.
func terminalOnly(w io.Writer) io.Writer {
	if f, ok := w.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			return f
		}
	}
	return io.Discard
}

const eraseLine = "\r\x1b[K"

func (r *report) progress(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.sign, "%s%d of %d, %s", eraseLine, r.done, r.total, what)
}

func (r *report) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprint(r.sign, eraseLine)
	fmt.Fprintln(r.out, text)
}

func (r *report) head(ms []mutant) {
	for _, m := range ms {
		r.width = max(r.width, len(m.name))
	}
	r.line("MUTANT", "OF", "s", "CAUGHT BY")
}

func (r *report) line(name, statement, seconds, by string) {
	fmt.Fprintf(r.out, "%-*s  %-4s %5s  %s\n", r.width, name, statement, seconds, by)
}

func (r *report) finish(m mutant, took time.Duration, by string) {
	r.done++
	fmt.Fprint(r.sign, eraseLine)
	r.line(m.name, m.statement, fmt.Sprintf("%.1f", took.Seconds()), by)
}

func (r *report) caught(m mutant, st stage, by string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byStage == nil {
		r.byStage = map[string]int{}
	}
	r.byStage[st.name]++
	r.finish(m, took, by)
}

func (r *report) survived(m mutant, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.survivors = append(r.survivors, m)
	r.finish(m, took, "nothing: IT SURVIVES")
}

// end writes the sums and is an error if a mutant survived.
func (r *report) end() error {
	var sums []string
	for _, st := range stages {
		if n := r.byStage[st.name]; n > 0 {
			sums = append(sums, fmt.Sprintf("%d by %s", n, st.name))
		}
	}
	fmt.Fprint(r.sign, eraseLine)
	fmt.Fprintf(r.out, "%d mutants in %v: %d caught (%s), %d survived\n", r.done, time.Since(r.begin).Round(time.Second),
		r.done-len(r.survivors), strings.Join(sums, ", "), len(r.survivors))
	if len(r.survivors) == 0 {
		return nil
	}
	var b strings.Builder
	for _, m := range r.survivors {
		fmt.Fprintf(&b, "\n%s (%s) in %s\n%s", m.name, m.statement, m.file, m.diff())
	}
	return fmt.Errorf("no test notices:%s", b.String())
}
