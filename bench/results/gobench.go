package results

import (
	"fmt"
	"io"
	"strings"
)

// WriteGo writes Go's benchmark format, one line for each run of each figure, so that
// benchstat sees the spread: benchstat -col /engine, or two files.
func (r *Run) WriteGo(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "goos: %s\ngoarch: %s\ncpu: %s\n", r.Machine.OS, r.Machine.Arch, r.Machine.CPU)
	for i := range r.Figures {
		f := &r.Figures[i]
		unit := f.Unit
		if unit == NsLookup || unit == NsUpdate {
			unit = "ns/op" // which benchstat knows
		}
		for _, x := range f.Value.Runs {
			fmt.Fprintf(&b, "%s 1 %g %s\n", f.benchmark(), x, unit)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// benchmark is the figure's name, as sub-benchmarks spell what they are of.
func (f *Figure) benchmark() string {
	name := "Benchmark" + strings.ToUpper(f.Suite[:1]) + f.Suite[1:]
	for _, part := range [][2]string{{"engine", f.Engine}, {"family", f.Family}, {"table", f.Table}, {"stream", f.Stream}, {"rules", f.RuleSet}, {"load", f.Load}} {
		if part[1] != "" {
			name += "/" + part[0] + "=" + strings.NewReplacer(" ", "_", "/", ":").Replace(part[1])
		}
	}
	if f.Suite == "size" {
		name += fmt.Sprintf("/routes=%d", f.Routes)
	}
	return name
}
