package conformance

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const head = `# Conformance

Which test proves which statement of [kernel-semantics.md](kernel-semantics.md), and on which kernels it was seen to
hold. ` + "`make conformance`" + ` runs the tests, as root, and makes this page from what they noted; do not edit it.

A test is named by package and function, then by its cases. Kernels are those on which it passed; “engine” means
that no kernel was asked: fibula alone was seen to do what the statement says.
`

// Render makes docs/conformance.md.
func Render(d *Data) string {
	b := &strings.Builder{}
	b.WriteString(head)
	counts(b, d)
	section := ""
	for _, s := range Statements() {
		if _, excepted := d.Exceptions[s.Number]; excepted {
			continue
		}
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(b, "\n## %s\n\n| number | what | tests | kernels |\n|---|---|---|---|\n", section)
		}
		tests, kernels := d.proof(s.Number)
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", s.Number, s.Summary(), tests, kernels)
	}
	b.WriteString("\n## Exceptions\n\nStatements that no test of fibula can prove, and why.\n\n| number | what | reason |\n|---|---|---|\n")
	for _, s := range Statements() {
		if why, ok := d.Exceptions[s.Number]; ok {
			fmt.Fprintf(b, "| %s | %s | %s |\n", s.Number, s.Summary(), why)
		}
	}
	if d.Soak != nil {
		d.Soak.render(b)
	}
	return b.String()
}

// counts says how much of the reference is proved by what.
func counts(b *strings.Builder, d *Data) {
	engine := 0
	for _, s := range Statements() {
		if _, excepted := d.Exceptions[s.Number]; excepted {
			continue
		}
		if _, kernels := d.proof(s.Number); kernels == "engine" {
			engine++
		}
	}
	n, e := len(Statements()), len(d.Exceptions)
	fmt.Fprintf(b, "\n%d statements: %d shown on a kernel, %d on the engine only, %d exceptions.\n", n, n-e-engine, engine, e)
	var releases []string
	for _, r := range d.Kernels {
		if r.Kernel != "" {
			releases = append(releases, r.Kernel)
		}
	}
	fmt.Fprintf(b, "Kernels: %s.\n", strings.Join(releases, ", "))
}

// proof is a row's list of tests and of the kernels on which one passed.
func (d *Data) proof(number string) (tests, kernels string) {
	cases := map[string]map[string]bool{} // of each function
	var on []string
	for _, r := range d.Kernels {
		for _, t := range r.Holds[number] {
			name := strings.Index(t, ".Test") + 1
			function, sub, _ := strings.Cut(t[name:], "/")
			function = t[:name] + function
			if cases[function] == nil {
				cases[function] = map[string]bool{}
			}
			if sub != "" {
				last := sub[strings.LastIndexByte(sub, '/')+1:]
				cases[function][strings.ReplaceAll(last, "_", " ")] = true
			}
		}
		if len(r.Holds[number]) > 0 {
			on = append(on, r.Name())
		}
	}
	if len(on) > 1 && on[0] == "engine" {
		on = on[1:]
	}
	var list []string
	for _, function := range slices.Sorted(maps.Keys(cases)) {
		entry := "`" + function + "`"
		if subs := slices.Sorted(maps.Keys(cases[function])); len(subs) > 0 {
			entry += ": " + strings.Join(subs, ", ")
		}
		list = append(list, strings.ReplaceAll(entry, "|", `\|`))
	}
	return strings.Join(list, "; "), strings.Join(on, ", ")
}

func (s *Soak) render(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Soak\n\n`make soak` on Linux %s, seed %d: %d flows over %d random configurations, each answer compared with the kernel's in\nevery field.\n\n",
		s.Kernel, s.Seed, s.Flows, s.Configurations)
	b.WriteString("| family | direction | outcome | flows | mismatches | undetermined |\n|---|---|---|---|---|---|\n")
	for _, r := range s.Rows {
		fmt.Fprintf(b, "| %s | %s | %s | %d | %d | %d |\n", r.Family, r.Direction, r.Outcome, r.Flows, r.Mismatches, r.Undetermined)
	}
}
