package daemon

import "github.com/prometheus/client_golang/prometheus"

// Operations counts what was written to a kernel: fibula_operations_total. It is a
// [Collector], and safe for concurrent use.
type Operations struct{ *prometheus.CounterVec }

// NewOperations makes the counters, all zero.
func NewOperations() Operations {
	return Operations{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fibula_operations_total", Help: "Operations on the kernel's tables, by what came of them.",
	}, []string{"op", "object", "result"})}
}

// Count counts n operations: op is add, append, replace or delete, object is route, rule or nexthop,
// result is ok or the name of an errno.
func (o Operations) Count(op, object, result string, n int) {
	o.WithLabelValues(op, object, result).Add(float64(n))
}
