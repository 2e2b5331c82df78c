package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fatih/color"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/iproute"
	"github.com/fibula-net/fibula/ksync"
)

const (
	verifyFormat  = "fibula-verify"
	verifyVersion = 1
)

// verifyFile is the report of a verification as JSON.
type verifyFile struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	*ksync.VerifyReport
	Disagreements []disagreementJSON `json:"disagreements"`
}

type disagreementJSON struct {
	Flows int `json:"flows"`
	answerJSON
	Explanation json.RawMessage `json:"explanation"`
	State       json.RawMessage `json:"state,omitempty"`
	Repro       *reproJSON      `json:"repro,omitempty"`
	NoRepro     string          `json:"no_repro,omitempty"`
}

type answerJSON struct {
	Query       string             `json:"query"`
	Ours        string             `json:"ours"`
	Kernel      string             `json:"kernel"`
	Differences []ksync.Difference `json:"differences"`
}

type reproJSON struct {
	Commands []string `json:"commands"`
	answerJSON
	State json.RawMessage `json:"state"`
	Tried int             `json:"namespaces_tried"`
}

func (a *app) verifyJSON(r *ksync.VerifyReport) ([]byte, error) {
	file := verifyFile{Format: verifyFormat, Version: verifyVersion, VerifyReport: r, Disagreements: []disagreementJSON{}}
	for i := range r.Groups {
		g := &r.Groups[i]
		s, err := loadState(g.State, a.fibConfig())
		if err != nil {
			return nil, err
		}
		d := disagreementJSON{Flows: g.Count, answerJSON: a.answerJSON(s, &g.Answer), NoRepro: g.NoRepro}
		q := queryOf(s, g.Flow)
		x := iproute.Explainer{Printer: a.printer(a.namesOnce(), s)}
		x.Printer.JSON, x.Printer.Pretty = true, false
		d.Explanation = bytes.TrimSpace(x.AppendJSON(nil, &q, &g.Explanation))
		if d.State, err = stateJSON(g.State); err != nil {
			return nil, err
		}
		if p := g.Repro; p != nil {
			rs, err := loadState(&p.State, a.fibConfig())
			if err != nil {
				return nil, err
			}
			d.Repro = &reproJSON{Commands: p.Commands, answerJSON: a.answerJSON(rs, &p.Answer), Tried: p.Tried}
			if d.Repro.State, err = stateJSON(&p.State); err != nil {
				return nil, err
			}
		}
		file.Disagreements = append(file.Disagreements, d)
	}
	return json.Marshal(&file)
}

func stateJSON(st *fib.State) (json.RawMessage, error) {
	var b bytes.Buffer
	err := iproute.WriteState(&b, st, iproute.StateOptions{})
	return b.Bytes(), err
}

func (a *app) answerJSON(s *fib.Snapshot, x *ksync.Answer) answerJSON {
	ours, kernel := a.sides(s, x)
	return answerJSON{Query: queryOf(s, x.Flow).String(), Ours: ours, Kernel: kernel, Differences: x.Differences}
}

// sides are both answers in one line of ip each: those with fibmatch, if only
// these differ.
func (a *app) sides(s *fib.Snapshot, x *ksync.Answer) (ours, kernel string) {
	p := a.printer(a.namesOnce(), s)
	p.JSON, p.Oneline = false, true
	q := queryOf(s, x.Flow)
	q.FibMatch = x.OnlyStored()
	route := &x.Route
	if !route.Dst.IsValid() {
		route = nil
	}
	d := x.Ours
	if q.FibMatch && route == nil && d.Errno == 0 {
		d.Errno = fib.EHOSTUNREACH
	}
	line := func(r iproute.Reply) string { return strings.TrimSpace(string(p.AppendReply(nil, &r))) }
	if ours = iproute.Answers(d.Errno); d.Errno == 0 {
		ours = line(q.Reply(&x.Flow, &d, route))
	}
	reply, errno := &x.Kernel, x.KernelErrno
	if q.FibMatch {
		reply, errno = &x.Stored, x.StoredErrno
	}
	if kernel = iproute.Answers(errno); errno == 0 {
		kernel = line(iproute.KernelReply(reply, q.FibMatch))
	}
	return ours, kernel
}

// disagreement appends one cause as text.
func (a *app) disagreement(b []byte, g *ksync.Disagreement) []byte {
	bold := a.paint(color.Bold)
	say := func(format string, args ...any) { b = fmt.Appendf(b, format+"\n", args...) }
	s, err := loadState(g.State, a.fibConfig())
	if err != nil {
		say("\n%v", err)
		return b
	}
	q := queryOf(s, g.Flow)
	say("\n%s", bold(fmt.Sprintf("%s flows like: %v", number(g.Count), q)))
	both := func(s *fib.Snapshot, x *ksync.Answer) {
		ours, kernel := a.sides(s, x)
		say("  fibula: %s\n  kernel: %s", ours, kernel)
		for _, d := range x.Differences {
			say("    %v", d)
		}
	}
	if g.Repro == nil {
		both(s, &g.Answer)
		say("  %s; why fibula says so:", g.NoRepro)
		x := a.explainer(a.printer(a.namesOnce(), s))
		return x.AppendText(b, &q, &g.Explanation)
	}
	rs, err := loadState(&g.Repro.State, a.fibConfig())
	if err != nil {
		say("  %v", err)
		return b
	}
	for _, c := range g.Repro.Commands {
		say("%s", c)
	}
	both(rs, &g.Repro.Answer)
	return b
}
