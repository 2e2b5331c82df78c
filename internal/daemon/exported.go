package daemon

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fibula-net/fibula/ksync"
)

// Exported keeps account of an export: what became of its writes ([Exported.Count]) and
// how the kernel stands to what is desired ([Exported.Note]). It is a [Collector], and safe
// for concurrent use.
type Exported struct {
	ops    Operations
	maxAge time.Duration
	now    func() time.Time

	mu       sync.Mutex // guards what follows
	last     ksync.ExportReport
	known    bool
	wrong    time.Time // since when something is not as desired; zero: all is
	guarded  error     // why nothing is mended
	repairs  uint64
	fights   uint64
	overruns uint64
	refused  uint64
	compared map[string]uint64
}

// NewExported makes an account of nothing. An export that is not as desired for maxAge is
// not well; 0: 10 s.
func NewExported(maxAge time.Duration) *Exported {
	if maxAge <= 0 {
		maxAge = defaultMaxAge
	}
	return &Exported{ops: NewOperations(), maxAge: maxAge, now: time.Now, compared: map[string]uint64{"whole": 0, "changes": 0}}
}

// Count is an ExportOptions.Count.
func (x *Exported) Count(r ksync.OpResult, n int) {
	result := "ok"
	if r.Errno != 0 {
		result = r.Errno.Name()
	}
	x.ops.Count(r.Verb.String(), r.Kind.String(), result, n)
}

// Note is an ExportOptions.Event.
func (x *Exported) Note(ev ksync.ExportEvent) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch ev.Kind {
	case ksync.ExportSynced:
		x.last, x.known = *ev.Report, true
		if ev.Report.Whole {
			x.compared["whole"]++
		} else {
			x.compared["changes"]++
		}
		switch {
		case ev.Report.InSync():
			x.wrong = time.Time{}
		case x.wrong.IsZero():
			x.wrong = x.now()
		}
		x.guarded = nil
	case ksync.ExportRepaired:
		x.repairs += uint64(ev.Times)
	case ksync.ExportFight:
		x.fights++
	case ksync.ExportOverflow:
		x.overruns++
	case ksync.ExportRefused:
		x.refused++
	case ksync.ExportGuarded:
		if x.guarded = ev.Err; x.wrong.IsZero() {
			x.wrong = x.now()
		}
	}
}

// Health is nil while the kernel is as desired, or was so not long ago; else it says what
// is not.
func (x *Exported) Health() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.known {
		return errors.New("nothing was compared with what is desired yet")
	}
	if x.wrong.IsZero() || x.now().Sub(x.wrong) <= x.maxAge {
		return nil
	}
	why := lacking(&x.last)
	if x.guarded != nil {
		why = x.guarded.Error()
	}
	return fmt.Errorf("not as desired for %v, where %v is the limit: %s", x.now().Sub(x.wrong).Round(time.Millisecond), x.maxAge, why)
}

// lacking is what a report has that is not as desired, in a few words.
func lacking(r *ksync.ExportReport) string {
	s := fmt.Sprintf("%d refused, %d in the way, %d without their link", r.Failed, len(r.Conflicts), r.Missing.Routes+r.Missing.Nexthops)
	switch {
	case len(r.Failures) > 0:
		s += "; such as " + r.Failures[0].String()
	case len(r.Conflicts) > 0:
		s += "; such as " + r.Conflicts[0].String()
	case r.Missing.Example != "":
		s += "; such as " + r.Missing.Example
	}
	return s
}

var (
	descUnequal  = describe("export_unequal", "Objects that are not as desired: the kernel refused them, somebody else's is in the way, or their link is missing.", "cause")
	descGivenUp  = describe("export_given_up", "Refused objects that are not tried again before they or their surroundings change.")
	descRepairs  = describe("export_repairs_total", "Objects that others changed and that were mended.")
	descFights   = describe("export_fights_total", "Times that an object was left to somebody who takes it away again and again.")
	descCompared = describe("export_comparisons_total", "Comparisons of what is desired with all that is owned, or with what has changed.", "scope")
	descMissed   = describe("export_overruns_total", "Times that the kernel dropped announcements of changes to what is owned.")
	descRefused  = describe("export_refused_states_total", "Desired states that were not accepted.")
)

// Describe describes all metrics.
func (x *Exported) Describe(ch chan<- *prometheus.Desc) {
	x.ops.Describe(ch)
	for _, d := range []*prometheus.Desc{descUnequal, descGivenUp, descRepairs, descFights, descCompared, descMissed, descRefused} {
		ch <- d
	}
}

// Collect gives the metrics as they are now.
func (x *Exported) Collect(ch chan<- prometheus.Metric) {
	x.ops.Collect(ch)
	x.mu.Lock()
	defer x.mu.Unlock()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	r := &x.last
	gauge(descUnequal, r.Pending, "waits")
	gauge(descUnequal, r.Failed-r.Pending, "refused")
	gauge(descUnequal, len(r.Conflicts), "conflict")
	gauge(descUnequal, r.Missing.Routes+r.Missing.Nexthops, "missing_link")
	gauge(descGivenUp, r.GivenUp)
	counter(descRepairs, x.repairs)
	counter(descFights, x.fights)
	counter(descMissed, x.overruns)
	counter(descRefused, x.refused)
	for scope, n := range x.compared {
		counter(descCompared, n, scope)
	}
}
