package suite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fibula-net/fibula/bench/engines"
	"github.com/fibula-net/fibula/bench/measure"
	"github.com/fibula-net/fibula/bench/peers"
	"github.com/fibula-net/fibula/bench/results"
	"github.com/fibula-net/fibula/bench/streams"
	"github.com/fibula-net/fibula/fib"
)

// Peers measures our engines and DPDK's in turn, on the same streams. The driver is
// the program that make bench-peers builds.
func (b *Bench) Peers(ctx context.Context, driver string) error {
	if driver == "" {
		b.Run.Skip("peers", "no driver (make bench-peers builds one)")
		return nil
	}
	p, err := peers.Open(ctx, driver, b.Run.Settings.Core)
	if err != nil {
		b.Run.Skip("peers", err.Error())
		return nil
	}
	defer p.Close()
	if p.Pages != "2M" {
		b.Run.Skip("peers in huge pages", "not enough are free: DPDK's tables lie in pages of 4 KB")
	}
	for _, f := range b.Families {
		if err := b.peersOf(ctx, p, f); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) peersOf(ctx context.Context, p *peers.Peer, f fib.Family) error {
	one := b.Table.Only(f)
	b.progress("filling DPDK")
	failed, took, err := p.Load(&one, f)
	if err != nil {
		b.Run.Skip(fmt.Sprintf("DPDK %v", f), err.Error())
		return nil
	}
	if failed > 0 {
		b.Run.Disagree("DPDK refused %d routes of %v", failed, f)
	}
	fill := b.figure("build", peers.Variants(f)[0], f, &one, results.Seconds, measure.Of([]float64{took.Seconds()}))
	b.Run.Add(fill)
	var ours []*engines.Form
	for _, name := range []string{engines.Default().Name, engines.Plain} {
		x := engines.FillWith(engines.Named(name), b.family(&one, f))
		defer x.KeepAlive()
		ours = append(ours, x.All()...)
	}
	for _, name := range b.streamNames() {
		if name == streams.Single {
			continue // says nothing about tables
		}
		s, err := b.stream(name, f, &one)
		if err != nil {
			return err
		}
		if err := p.Stream(s); err != nil {
			return err
		}
		if err := b.besidePeers(ctx, p, s, ours); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bench) besidePeers(ctx context.Context, p *peers.Peer, s *streams.Stream, ours []*engines.Form) error {
	var tasks []*measure.Task
	var sums []uint64
	var failed error
	out := make([]uint32, engines.Burst)
	for _, form := range ours {
		sums = append(sums, form.Checksum(s))
		tasks = append(tasks, &measure.Task{Name: form.Name, Len: s.Len(), Pass: func(from, n int) { form.Answer(s, from, out[:n]) }})
	}
	for _, variant := range peers.Variants(s.Family) {
		b.progress("checking " + variant)
		sum, err := p.Checksum(variant, s)
		if err != nil {
			b.Run.Skip(variant, err.Error())
			continue
		}
		sums = append(sums, sum)
		tasks = append(tasks, &measure.Task{Name: variant, Len: s.Len(), Step: 1 << 16, Timed: func(from, n int) time.Duration {
			took, err := p.Run(variant, s, from, n)
			failed = errors.Join(failed, err)
			return max(took, 1)
		}})
	}
	for i, sum := range sums {
		if sum != sums[0] {
			b.Run.Disagree("%s answers stream %s %v unlike %s", tasks[i].Name, s.Name, s.Family, tasks[0].Name)
		}
	}
	spreads, err := b.alternate(ctx, fmt.Sprintf("peers %s %v", s.Name, s.Family), tasks)
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	for i, v := range spreads {
		fig := b.figure("peers", tasks[i].Name, s.Family, &b.Table, results.NsLookup, v)
		fig.Stream, fig.Checksum = s.Name, results.Hex(sums[i])
		if strings.HasPrefix(fig.Engine, "rte_") {
			fig.Load = p.Pages + " pages"
		}
		b.Run.Add(fig)
	}
	return nil
}
