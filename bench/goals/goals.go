package goals

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/results"
)

// Row is one goal with what was measured of it.
type Row struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit"`
	Target float64 `json:"target"`
	// AtMost says that the target is a limit rather than a least.
	AtMost   bool            `json:"at_most"`
	Measured *float64        `json:"measured"` // null: not measured
	Spread   *measure.Spread `json:"spread"`
	Holds    *bool           `json:"holds"`
	Why      string          `json:"why,omitempty"` // it was not measured
}

// goal is a row and how it comes from figures.
type goal struct {
	name   string
	unit   string
	target float64
	atMost bool
	from   func(*results.Run) (measure.Spread, error)
}

// Rows compares a run with every goal but those of [Sync]. The goals are set for the real
// table; on another nothing counts as measured.
func Rows(r *results.Run) []Row { return rows(r, all()) }

// Sync compares a run with the goals for mirrors and exports.
func Sync(r *results.Run) []Row { return rows(r, sync()) }

func rows(r *results.Run, all []goal) (rows []Row) {
	other := len(r.Tables) > 0 && r.Tables[0].Name != "real"
	if other {
		r = &results.Run{Tables: r.Tables}
	}
	for _, g := range all {
		row := Row{Name: g.name, Unit: g.unit, Target: g.target, AtMost: g.atMost}
		spread, err := g.from(r)
		switch {
		case other:
			row.Why = "the table is " + r.Tables[0].Name + ", not real"
		case err != nil:
			row.Why = err.Error()
		default:
			holds := spread.Median >= g.target
			if g.atMost {
				holds = spread.Median <= g.target
			}
			row.Measured, row.Spread, row.Holds = &spread.Median, &spread, &holds
		}
		rows = append(rows, row)
	}
	return rows
}

// Merge takes from both: rows of more replace those of rows that were not measured.
func Merge(rows, more []Row) []Row {
	known := map[string]Row{}
	for _, r := range more {
		if r.Measured != nil {
			known[r.Name] = r
		}
	}
	out := make([]Row, len(rows))
	for i, r := range rows {
		if m, ok := known[r.Name]; ok && r.Measured == nil {
			r = m
		}
		out[i] = r
	}
	return out
}

// WriteJSON writes one object for each row, as a list.
func WriteJSON(w io.Writer, rows []Row) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

// ReadJSON reads what WriteJSON writes.
func ReadJSON(r io.Reader) (rows []Row, err error) {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&rows); err != nil {
		return nil, fmt.Errorf("goals: %w", err)
	}
	return rows, nil
}

// WriteText writes a table for people.
func WriteText(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "goal\ttarget\tmeasured\trange\tholds")
	for _, r := range rows {
		sign := "≥"
		if r.AtMost {
			sign = "≤"
		}
		line := fmt.Sprintf("%s\t%s %s %s\t", r.Name, sign, number(r.Target), r.Unit)
		if r.Measured == nil {
			line += "not measured: " + r.Why + "\t\t"
		} else {
			line += fmt.Sprintf("%s\t%s – %s\t%s", number(*r.Measured), number(r.Spread.Low), number(r.Spread.High), map[bool]string{true: "yes", false: "NO"}[*r.Holds])
		}
		fmt.Fprintln(t, line)
	}
	return t.Flush()
}

func number(x float64) string {
	switch {
	case x >= 10_000:
		return results.Short(int(x))
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}
