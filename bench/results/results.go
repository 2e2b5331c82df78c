package results

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/fibula-net/fibula/bench/measure"
)

// Run is everything that one call of the benchmarks measured.
type Run struct {
	Machine  Machine  `json:"machine"`
	Settings Settings `json:"settings"`
	Tables   []Input  `json:"tables"`
	Streams  []Input  `json:"streams"`
	Figures  []Figure `json:"figures"`
	// Skips are the parts that were asked for and could not be measured, with the reason.
	Skips []Skip `json:"skips"`
	// Wrong are answers that were not as they must be. A run that has any proves nothing.
	Wrong []string `json:"wrong"`
}

// Machine is where a run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel,omitempty"`
	Go     string `json:"go"`
}

// Settings are how it was measured.
type Settings struct {
	Core    int     `json:"core"` // -1: not pinned
	CPUTime bool    `json:"cpu_time"`
	Runs    int     `json:"runs"`
	Each    float64 `json:"seconds_each"`
	Queries int     `json:"queries"`
	Seed    uint64  `json:"seed"`
}

// Input is a table or stream.
type Input struct {
	Name     string `json:"name"`
	Origin   string `json:"origin,omitempty"`
	Family   string `json:"family,omitempty"`
	Len      int    `json:"len"`
	Checksum string `json:"checksum"`
}

// Figure is one measured quantity, with what it was measured on. What does not apply
// is empty.
type Figure struct {
	Suite    string         `json:"suite"`
	Engine   string         `json:"engine"`
	Family   string         `json:"family,omitempty"`
	Table    string         `json:"table,omitempty"`
	Routes   int            `json:"routes,omitempty"`
	Stream   string         `json:"stream,omitempty"`
	RuleSet  string         `json:"rules,omitempty"`
	Rules    int            `json:"rule_count,omitempty"`
	Load     string         `json:"load,omitempty"` // of updates
	Unit     string         `json:"unit"`
	Value    measure.Spread `json:"value"`
	Checksum string         `json:"checksum,omitempty"` // of the answers
}

// Skip is something that was not measured.
type Skip struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// The units of figures.
const (
	NsLookup  = "ns/lookup"
	NsUpdate  = "ns/update"
	Seconds   = "s/build"
	BytesEach = "B/route"
	Bytes     = "B"
	PerSecond = "1/s"
	Percent   = "%"
)

// Here describes this machine.
func Here() Machine {
	m := Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernelRelease(), Go: runtime.Version()}
	return m
}

// Add adds a figure.
func (r *Run) Add(f Figure) { r.Figures = append(r.Figures, f) }

// Skip notes that something could not be measured, once.
func (r *Run) Skip(what, why string) {
	if s := (Skip{what, why}); !slices.Contains(r.Skips, s) {
		r.Skips = append(r.Skips, s)
	}
}

// Disagree notes a wrong answer.
func (r *Run) Disagree(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

// Find returns the figure that agrees with every field that is set in like.
func (r *Run) Find(like Figure) (Figure, bool) {
	for _, f := range r.Figures {
		if agrees(f.Suite, like.Suite) && agrees(f.Engine, like.Engine) && agrees(f.Family, like.Family) && agrees(f.Table, like.Table) &&
			agrees(f.Stream, like.Stream) && agrees(f.RuleSet, like.RuleSet) && agrees(f.Load, like.Load) && agrees(f.Unit, like.Unit) {
			return f, true
		}
	}
	return Figure{}, false
}

func agrees(got, like string) bool { return like == "" || got == like }

// WriteJSON writes the run as one object.
func (r *Run) WriteJSON(w io.Writer, indent string) error {
	e := json.NewEncoder(w)
	e.SetIndent("", indent)
	return e.Encode(r)
}

// Hex is how checksums are written.
func Hex(sum uint64) string { return fmt.Sprintf("%016x", sum) }
