package iproute

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/fibula-net/fibula/fib"
)

// The lists of a desired state in YAML.
var yamlLists = map[string]func(*wordReader, fib.Family){
	"routes":   func(p *wordReader, f fib.Family) { p.route(f, wordAt{text: "add"}) },
	"rules":    func(p *wordReader, f fib.Family) { p.rule(f) },
	"nexthops": func(p *wordReader, f fib.Family) { p.nexthop(f) },
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yaml turns mappings into the words that a batch would have.
func (d *desiredReader) yaml(data []byte) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		line := 1
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = strings.Replace(text, m[0], "", 1)
		}
		d.fail(wordAt{line: line, col: 1}, fmt.Errorf("not YAML: %s", text))
		return
	}
	if len(doc.Content) == 0 {
		return
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		d.fail(at(top), fmt.Errorf("expected the lists routes, rules and nexthops"))
		return
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, list := top.Content[i], top.Content[i+1]
		read := yamlLists[key.Value]
		switch {
		case read == nil:
			d.fail(at(key), fmt.Errorf("%q: expected routes, rules or nexthops", clip(key.Value)))
			continue
		case list.Kind == yaml.ScalarNode && list.Tag == "!!null":
			continue
		case list.Kind != yaml.SequenceNode:
			d.fail(at(list), fmt.Errorf("%s: expected a list", key.Value))
			continue
		}
		for _, item := range list.Content {
			d.yamlItem(item, key.Value, read)
		}
	}
}

func at(n *yaml.Node) wordAt { return wordAt{n.Value, n.Line, n.Column} }

func (d *desiredReader) yamlItem(item *yaml.Node, list string, read func(*wordReader, fib.Family)) {
	p := &wordReader{d: d, last: at(item)}
	switch item.Kind {
	case yaml.ScalarNode:
		words, err := placed(nil, item.Value, item.Line)
		if err != nil {
			p.fail(at(item), err)
		}
		for i := range words {
			words[i].col += item.Column - 1
		}
		p.words = words
	case yaml.MappingNode:
		p.mapping(item, list == "routes")
	default:
		p.fail(at(item), fmt.Errorf("expected a mapping or a line of words"))
	}
	if p.err == nil && len(p.words) == 0 {
		p.fail(at(item), fmt.Errorf("it is empty"))
	}
	if p.err == nil {
		p.last = p.words[len(p.words)-1]
		read(p, 0)
	}
	if p.err != nil {
		d.fail(p.at, p.err)
	}
}

// mapping appends the words of a mapping. Those that stand in front of all others in a
// line do so wherever they are.
func (p *wordReader) mapping(m *yaml.Node, route bool) {
	var front, rest []wordAt
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, v := m.Content[i], m.Content[i+1]
		k := at(key)
		switch {
		case v.Kind == yaml.SequenceNode && key.Value == "nexthops" && route:
			for _, leg := range v.Content {
				if leg.Kind != yaml.MappingNode {
					p.fail(at(leg), fmt.Errorf("a nexthop is a mapping, such as {via: 192.0.2.1, dev: eth0}"))
					return
				}
				rest = append(rest, wordAt{"nexthop", leg.Line, leg.Column})
				before := p.words
				p.words = nil
				p.mapping(leg, false)
				rest = append(rest, p.words...)
				p.words = before
			}
		case v.Kind != yaml.ScalarNode:
			p.fail(at(v), fmt.Errorf("%s: expected one value", clip(key.Value)))
			return
		case v.Tag == "!!bool" && v.Value == "true":
			rest = append(rest, k)
		case v.Tag == "!!bool" && v.Value == "false", v.Tag == "!!null":
			p.fail(at(v), fmt.Errorf("%s: leave it out instead", clip(key.Value)))
			return
		default:
			words, err := placed(nil, v.Value, v.Line)
			if err != nil || len(words) == 0 {
				p.fail(at(v), fmt.Errorf("%s: expected a value", clip(key.Value)))
				return
			}
			for i := range words {
				words[i].col += v.Column - 1
			}
			switch {
			case route && key.Value == "type":
				front = append(words, front...)
			case route && (key.Value == "to" || key.Value == "dst"):
				front = append(front, words...)
			default:
				rest = append(append(rest, k), words...)
			}
		}
	}
	p.words = append(append(p.words, front...), rest...)
}
