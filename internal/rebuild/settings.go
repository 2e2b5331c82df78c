package rebuild

import (
	"fmt"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// quiet keep a new link from doing anything by itself. The first is for people too:
// without it a link has an address of its own. The others only save waiting.
var quiet = [][2]string{
	{"ipv6/conf/default/addr_gen_mode", "1"},
	{"ipv6/conf/default/accept_dad", "0"},
	{"ipv6/conf/default/router_solicitations", "0"},
}

func (p *planner) set(key string, v any) {
	value := fmt.Sprint(v)
	switch v {
	case true:
		value = "1"
	case false:
		value = "0"
	}
	p.steps = append(p.steps, Step{Key: key, Value: value,
		Text: fmt.Sprintf("ip netns exec %s sysctl -qw net/%s=%s", Name, key, value)})
}

// differ sets key where the wanted value is not the present one.
func differ[T comparable](p *planner, key string, have *T, want T) {
	if *have != want {
		p.set(key, want)
		*have = want
	}
}

// settings sets what belongs to the namespace as a whole. Forwarding of "all"
// reaches every link and "default", so it comes first.
func (p *planner) settings() error {
	p.cur = p.opt.Fresh
	cur, want := &p.cur, &p.st.Sysctls
	p.lo4, p.lo6 = cur.Default4, cur.Default6
	if cur.All4.Forwarding != want.All4.Forwarding {
		p.set("ipv4/conf/all/forwarding", want.All4.Forwarding)
		cur.All4.Forwarding, cur.Default4.Forwarding, p.lo4.Forwarding = want.All4.Forwarding, want.All4.Forwarding, want.All4.Forwarding
	}
	if cur.All6.Forwarding != want.All6.Forwarding {
		p.set("ipv6/conf/all/forwarding", want.All6.Forwarding)
		cur.All6.Forwarding, cur.Default6.Forwarding, p.lo6.Forwarding = want.All6.Forwarding, want.All6.Forwarding, want.All6.Forwarding
	}
	for _, kv := range quiet {
		p.set(kv[0], kv[1])
		p.last().Text = ""
	}
	if len(p.st.Links) > 1 {
		p.set(quiet[0][0], quiet[0][1])
	}
	p.conf4("ipv4/conf/all", &cur.All4, &want.All4)
	p.conf4("ipv4/conf/default", &cur.Default4, &want.Default4)
	p.conf6("ipv6/conf/all", &cur.All6, &want.All6)
	p.conf6("ipv6/conf/default", &cur.Default6, &want.Default6)
	for _, m := range []struct {
		family     string
		have, want *fib.Multipath
	}{{"ipv4", &cur.Multipath4, &want.Multipath4}, {"ipv6", &cur.Multipath6, &want.Multipath6}} {
		differ(p, m.family+"/fib_multipath_hash_policy", &m.have.Policy, m.want.Policy)
		differ(p, m.family+"/fib_multipath_hash_fields", &m.have.Fields, m.want.Fields)
	}
	differ(p, "ipv4/fib_multipath_hash_seed", &cur.HashSeed, want.HashSeed)
	differ(p, "ipv4/fib_multipath_use_neigh", &cur.MultipathUseNeigh, want.MultipathUseNeigh)
	differ(p, "ipv4/nexthop_compat_mode", &cur.NexthopCompatMode, want.NexthopCompatMode)
	differ(p, "ipv6/route/skip_notify_on_dev_down", &cur.SkipNotifyOnDevDown, want.SkipNotifyOnDevDown)
	return nil
}

// conf4 sets those of one link, of "all" or of "default" that decide something.
func (p *planner) conf4(dir string, have, want *fib.Conf4) {
	dir = strings.TrimSuffix(dir, "/") + "/"
	differ(p, dir+"forwarding", &have.Forwarding, want.Forwarding)
	differ(p, dir+"accept_local", &have.AcceptLocal, want.AcceptLocal)
	differ(p, dir+"route_localnet", &have.RouteLocalnet, want.RouteLocalnet)
	differ(p, dir+"src_valid_mark", &have.SrcValidMark, want.SrcValidMark)
	differ(p, dir+"send_redirects", &have.SendRedirects, want.SendRedirects)
	differ(p, dir+"shared_media", &have.SharedMedia, want.SharedMedia)
	differ(p, dir+"bc_forwarding", &have.BcForwarding, want.BcForwarding)
	differ(p, dir+"ignore_routes_with_linkdown", &have.IgnoreRoutesWithLinkdown, want.IgnoreRoutesWithLinkdown)
	differ(p, dir+"promote_secondaries", &have.PromoteSecondaries, want.PromoteSecondaries)
	differ(p, dir+"rp_filter", &have.RPFilter, want.RPFilter)
}

func (p *planner) conf6(dir string, have, want *fib.Conf6) {
	dir = strings.TrimSuffix(dir, "/") + "/"
	differ(p, dir+"forwarding", &have.Forwarding, want.Forwarding)
	differ(p, dir+"disable_ipv6", &have.DisableIPv6, want.DisableIPv6)
	differ(p, dir+"ignore_routes_with_linkdown", &have.IgnoreRoutesWithLinkdown, want.IgnoreRoutesWithLinkdown)
	differ(p, dir+"use_oif_addrs_only", &have.UseOifAddrsOnly, want.UseOifAddrsOnly)
	differ(p, dir+"optimistic_dad", &have.OptimisticDAD, want.OptimisticDAD)
	differ(p, dir+"use_optimistic", &have.UseOptimistic, want.UseOptimistic)
	differ(p, dir+"keep_addr_on_down", &have.KeepAddrOnDown, want.KeepAddrOnDown)
	differ(p, dir+"use_tempaddr", &have.UseTempaddr, want.UseTempaddr)
}
