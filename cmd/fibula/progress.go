package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// patience is how long a person waits without a sign.
const patience = 2 * time.Second

// progress shows on a terminal what is being read, once it takes long. Its nil
// value shows nothing.
type progress struct {
	a     *app
	begin time.Time
	delay time.Duration
	stage string
	bar   *progressbar.ProgressBar
}

func (a *app) startProgress() *progress {
	if !isTerminal(a.errs) {
		return nil
	}
	return &progress{a: a, begin: time.Now(), delay: patience}
}

// impatient makes p show from the start.
func (p *progress) impatient() {
	if p != nil {
		p.delay = 0
	}
}

// show says that n of stage have been done so far.
func (p *progress) show(stage string, n int) {
	if p == nil || time.Since(p.begin) < p.delay {
		return
	}
	if p.bar == nil || stage != p.stage {
		p.end()
		p.stage = stage
		p.bar = progressbar.NewOptions(-1,
			progressbar.OptionSetWriter(p.a.errs),
			progressbar.OptionSetDescription(stage),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString(""),
			progressbar.OptionSpinnerType(14),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish())
	}
	_ = p.bar.Set(n) // a terminal that cannot show it loses nothing
}

// end removes the sign.
func (p *progress) end() {
	if p != nil && p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
