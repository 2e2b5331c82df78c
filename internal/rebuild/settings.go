package rebuild

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
	"github.com/fibula-net/fibula/internal/sysctl"
)

// quiet keep a new link from doing anything by itself. The first is for people too:
// without it a link has an address of its own. The others only save waiting.
var quiet = []struct {
	key   string
	value int64
}{
	{"ipv6/conf/default/addr_gen_mode", 1},
	{"ipv6/conf/default/accept_dad", 0},
	{"ipv6/conf/default/router_solicitations", 0},
}

func (p *planner) set(key string, v int64) {
	value := strconv.FormatInt(v, 10)
	p.steps = append(p.steps, Step{Key: key, Value: value,
		Text: fmt.Sprintf("ip netns exec %s sysctl -qw net/%s=%s", Name, key, value)})
}

// differ sets key where the wanted value is not the present one.
func differ(p *planner, key string, have, want any) {
	if v := sysctl.Get(want); sysctl.Get(have) != v {
		p.set(key, v)
		sysctl.Set(have, v)
	}
}

// settings sets what belongs to the namespace as a whole. Forwarding of "all"
// reaches every link and "default", so it comes first.
func (p *planner) settings() error {
	p.cur = p.opt.Fresh
	cur, want := &p.cur, &p.st.Sysctls
	p.lo4, p.lo6 = cur.Default4, cur.Default6
	if cur.All4.Forwarding != want.All4.Forwarding {
		p.set("ipv4/conf/all/forwarding", sysctl.Get(&want.All4.Forwarding))
		cur.All4.Forwarding, cur.Default4.Forwarding, p.lo4.Forwarding = want.All4.Forwarding, want.All4.Forwarding, want.All4.Forwarding
	}
	if cur.All6.Forwarding != want.All6.Forwarding {
		p.set("ipv6/conf/all/forwarding", sysctl.Get(&want.All6.Forwarding))
		cur.All6.Forwarding, cur.Default6.Forwarding, p.lo6.Forwarding = want.All6.Forwarding, want.All6.Forwarding, want.All6.Forwarding
	}
	for _, kv := range quiet {
		p.set(kv.key, kv.value)
		p.last().Text = ""
	}
	if len(p.st.Links) > 1 {
		p.set(quiet[0].key, quiet[0].value)
	}
	p.conf4("ipv4/conf/all", &cur.All4, &want.All4)
	p.conf4("ipv4/conf/default", &cur.Default4, &want.Default4)
	p.conf6("ipv6/conf/all", &cur.All6, &want.All6)
	p.conf6("ipv6/conf/default", &cur.Default6, &want.Default6)
	for _, c := range sysctl.Global {
		differ(p, strings.ReplaceAll(strings.TrimPrefix(c.Name, "net."), ".", "/"), c.At(cur), c.At(want))
	}
	return nil
}

// unset are settings of links that nobody can set, or that rebuilding needs otherwise.
var unset = []string{"mc_forwarding", "accept_dad", "addr_gen_mode"}

// conf sets those of one link, of "all" or of "default" that decide something.
func conf[C any](p *planner, dir string, all []sysctl.Setting[C], have, want *C) {
	for _, c := range all {
		if !slices.Contains(unset, c.Name) {
			differ(p, dir+c.Name, c.At(have), c.At(want))
		}
	}
}

func (p *planner) conf4(dir string, have, want *fib.Conf4) {
	conf(p, dir+"/", sysctl.Conf4, have, want)
}

func (p *planner) conf6(dir string, have, want *fib.Conf6) {
	conf(p, dir+"/", sysctl.Conf6, have, want)
}
