package iproute

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/fibula-net/fibula/fib"
)

// Names translates between numbers and the words that iproute2 has for them:
// tables, protocols, scopes, realms, link groups, TOS values and IP protocols.
//
// Words are looked up in the names read from files, in the built-in ones, then
// as numbers: decimal, octal with 0, hexadecimal with 0x (TOS: always
// hexadecimal). A nil *Names and the zero value know only the built-in names.
// Names is safe for concurrent use once Numeric is set.
type Names struct {
	// Numeric makes every …Name method write numbers (ip -N). Words still parse.
	Numeric bool

	tables, protocols, scopes, realms, groups, dsfields, ipprotos nameMap
}

// nameMap is one database: what files add to or override in the built-in names.
type nameMap struct {
	names map[uint32]string
	ids   map[string]uint32
}

func (m *nameMap) set(id uint32, name string) {
	if m.names == nil {
		m.names, m.ids = map[uint32]string{}, map[string]uint32{}
	}
	m.names[id] = name
	m.ids[name] = id
}

// alias adds a further word for id.
func (m *nameMap) alias(id uint32, name string) {
	if _, ok := m.ids[name]; !ok {
		m.ids[name] = id
	}
}

// The names that iproute2 has without any file.
var (
	builtinTables    = builtin(map[uint32]string{253: "default", 254: "main", 255: "local"})
	builtinProtocols = builtin(map[uint32]string{0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static",
		8: "gated", 9: "ra", 10: "mrt", 11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp",
		18: "keepalived", 42: "babel", 186: "bgp", 187: "isis", 188: "ospf", 189: "rip", 192: "eigrp"})
	builtinScopes   = builtin(map[uint32]string{0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"})
	builtinRealms   = builtin(map[uint32]string{0: "unknown"})
	builtinGroups   = builtin(map[uint32]string{0: "default"})
	builtinDSFields = builtin(map[uint32]string{0: "0"})
	builtinIPProtos = func() nameMap {
		m := builtin(map[uint32]string{0: "ip", 1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 17: "udp", 33: "dccp",
			41: "ipv6", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp", 88: "eigrp", 89: "ospf", 94: "ipip",
			97: "etherip", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 132: "sctp", 136: "udplite"})
		m.alias(58, "icmpv6")
		return m
	}()
)

func builtin(names map[uint32]string) nameMap {
	var m nameMap
	for id, name := range names {
		m.set(id, name)
	}
	return m
}

// LoadNames reads iproute2's name files from fsys, whose root stands for "/":
// each of rt_tables, rt_protos, rt_scopes, rt_realms, rt_dsfield and group from
// etc/iproute2 or, where that is missing, usr/share/iproute2 or
// usr/lib/iproute2; *.conf from rt_tables.d and rt_protos.d in all of them, a
// file in etc hiding its namesakes; and etc/protocols. Missing files are no
// error. A line that cannot be understood is skipped and named in warnings.
// A nil fsys gives the built-in names.
func LoadNames(fsys fs.FS) (n *Names, warnings []string) {
	n = &Names{}
	if fsys == nil {
		return n, nil
	}
	l := nameLoader{fsys: fsys}
	l.database("rt_tables", &n.tables, 1<<32-1)
	l.database("rt_protos", &n.protocols, 255)
	l.database("rt_scopes", &n.scopes, 255)
	l.database("rt_realms", &n.realms, 255)
	l.database("rt_dsfield", &n.dsfields, 255)
	l.database("group", &n.groups, 1<<31-1)
	l.ipProtocols(&n.ipprotos)
	return n, l.warnings
}

type nameLoader struct {
	fsys     fs.FS
	warnings []string
}

var nameDirs = [...]string{"etc/iproute2", "usr/share/iproute2", "usr/lib/iproute2"}

func (l *nameLoader) database(base string, m *nameMap, limit uint64) {
	for _, dir := range nameDirs {
		if l.file(dir+"/"+base, m, limit) {
			break
		}
	}
	// Later files win, so the system's own come last.
	hidden := map[string]bool{}
	var files []string
	for _, dir := range nameDirs {
		entries, err := fs.ReadDir(l.fsys, dir+"/"+base+".d")
		if err != nil {
			continue
		}
		for _, e := range entries {
			name := e.Name()
			if !strings.HasSuffix(name, ".conf") || name[0] == '.' || len(name) <= len(".conf") || hidden[name] {
				continue
			}
			hidden[name] = true
			files = append(files, dir+"/"+base+".d/"+name)
		}
	}
	for i := len(files) - 1; i >= 0; i-- {
		l.file(files[i], m, limit)
	}
}

// maxNameFile bounds what is read of one file; real ones have a few kilobytes.
const maxNameFile = 1 << 20

func (l *nameLoader) lines(path string, f func(number int, fields []string)) bool {
	info, err := fs.Stat(l.fsys, path)
	if err != nil || info.IsDir() {
		return false
	}
	if info.Size() > maxNameFile {
		l.warn(path, 0, "larger than 1 MiB; ignored")
		return true
	}
	data, err := fs.ReadFile(l.fsys, path)
	if err != nil {
		l.warn(path, 0, err.Error())
		return true
	}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if fields := strings.Fields(line); len(fields) > 0 && fields[0][0] != '#' {
			f(number, fields)
		}
	}
	return true
}

func (l *nameLoader) warn(path string, line int, what string) {
	if len(l.warnings) == maxNameWarnings {
		l.warnings = append(l.warnings, "more lines of the name files were skipped")
	}
	if len(l.warnings) > maxNameWarnings {
		return
	}
	where := "/" + path
	if line > 0 {
		where += ":" + strconv.Itoa(line)
	}
	l.warnings = append(l.warnings, where+": "+what)
}

const maxNameWarnings = 20

// file reads one file and reports whether it is there.
func (l *nameLoader) file(path string, m *nameMap, limit uint64) bool {
	return l.lines(path, func(number int, fields []string) {
		if strings.HasPrefix(fields[0], "-") {
			return // ip ignores negative numbers, too
		}
		id, err := parseNameID(fields[0])
		switch {
		case err != nil || len(fields) < 2 || fields[1][0] == '#':
			l.warn(path, number, fmt.Sprintf("skipped %.40q: expected a number and a name", strings.Join(fields, " ")))
		case printable(fields[1]) != fields[1]:
			l.warn(path, number, fmt.Sprintf("skipped %.40q: a name has printable characters only", strings.Join(fields, " ")))
		case id > limit:
			l.warn(path, number, fmt.Sprintf("skipped %.40q: number above %d", strings.Join(fields, " "), limit))
		default:
			m.set(uint32(id), fields[1])
		}
	})
}

// parseNameID reads a number as the files have them: a leading 0 is not octal.
func parseNameID(s string) (uint64, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(hex, 16, 32)
	}
	return strconv.ParseUint(s, 10, 32)
}

func (l *nameLoader) ipProtocols(m *nameMap) {
	l.lines("etc/protocols", func(number int, fields []string) {
		if len(fields) < 2 {
			return
		}
		id, err := strconv.ParseUint(fields[1], 10, 32)
		if err != nil {
			l.warn("etc/protocols", number, fmt.Sprintf("skipped %.40q: expected a name and a number", strings.Join(fields, " ")))
			return
		}
		if _, ok := m.names[uint32(id)]; id > 255 || ok || printable(fields[0]) != fields[0] {
			return
		}
		m.set(uint32(id), fields[0])
		for _, word := range fields[2:] {
			if word[0] == '#' {
				break
			}
			m.alias(uint32(id), word)
		}
	})
}

// name returns the word for id; n.Numeric is the caller's business.
func (m *nameMap) name(id uint32, builtin *nameMap) (string, bool) {
	if s, ok := m.names[id]; ok {
		return s, true
	}
	s, ok := builtin.names[id]
	return s, ok
}

func (m *nameMap) id(word string, builtin *nameMap) (uint32, bool) {
	if id, ok := m.ids[word]; ok {
		return id, true
	}
	id, ok := builtin.ids[word]
	return id, ok
}

var noNames Names

func (n *Names) get() *Names {
	if n == nil {
		return &noNames
	}
	return n
}

func (n *Names) text(m, builtin *nameMap, id uint32) string {
	if !n.Numeric {
		if s, ok := m.name(id, builtin); ok {
			return s
		}
	}
	return strconv.FormatUint(uint64(id), 10)
}

func parseName(what, word string, m, builtin *nameMap, base, bits int) (uint32, error) {
	if id, ok := m.id(word, builtin); ok {
		return id, nil
	}
	if v, ok := parseUint(word, base, bits); ok {
		return uint32(v), nil
	}
	return 0, fmt.Errorf("%s %.80q is neither a known name nor a number up to %d", what, word, uint64(1)<<bits-1)
}

// TableName returns the word for a table.
func (n *Names) TableName(id uint32) string {
	n = n.get()
	return n.text(&n.tables, &builtinTables, id)
}

// Table reads a table's name or number.
func (n *Names) Table(word string) (uint32, error) {
	return parseName("table", word, &n.get().tables, &builtinTables, 0, 32)
}

// ProtocolName returns the word for a routing protocol (rtm_protocol).
func (n *Names) ProtocolName(id uint8) string {
	n = n.get()
	return n.text(&n.protocols, &builtinProtocols, uint32(id))
}

// Protocol reads a routing protocol's name or number.
func (n *Names) Protocol(word string) (uint8, error) {
	id, err := parseName("protocol", word, &n.get().protocols, &builtinProtocols, 0, 8)
	return uint8(id), err
}

// ScopeName returns the word for a scope.
func (n *Names) ScopeName(id uint8) string {
	n = n.get()
	return n.text(&n.scopes, &builtinScopes, uint32(id))
}

// Scope reads a scope's name or number.
func (n *Names) Scope(word string) (uint8, error) {
	id, err := parseName("scope", word, &n.get().scopes, &builtinScopes, 0, 8)
	return uint8(id), err
}

// RealmName returns the word for one realm (half of RTA_FLOW).
func (n *Names) RealmName(id uint16) string {
	n = n.get()
	return n.text(&n.realms, &builtinRealms, uint32(id))
}

// Realm reads one realm's name or number. ip(8) reads numbers up to 255 only;
// the kernel holds, and this reads, 16 bits.
func (n *Names) Realm(word string) (uint16, error) {
	id, err := parseName("realm", word, &n.get().realms, &builtinRealms, 0, 16)
	return uint16(id), err
}

// GroupName returns the word for a link group.
func (n *Names) GroupName(id uint32) string {
	n = n.get()
	return n.text(&n.groups, &builtinGroups, id)
}

// Group reads a link group's name or number.
func (n *Names) Group(word string) (uint32, error) {
	return parseName("group", word, &n.get().groups, &builtinGroups, 0, 32)
}

// DSFieldName returns the word for a TOS byte, or it in hexadecimal (0x10).
func (n *Names) DSFieldName(tos uint8) string {
	n = n.get()
	if !n.Numeric {
		if s, ok := n.dsfields.name(uint32(tos), &builtinDSFields); ok {
			return s
		}
	}
	return fmt.Sprintf("0x%02x", tos)
}

// DSField reads a TOS byte: a name, or a number that is hexadecimal with or
// without 0x.
func (n *Names) DSField(word string) (uint8, error) {
	id, err := parseName("tos", word, &n.get().dsfields, &builtinDSFields, 16, 8)
	return uint8(id), err
}

// IPProtoName returns the name of an IP protocol, or such as "ipproto-200".
func (n *Names) IPProtoName(id uint8) string {
	n = n.get()
	if !n.Numeric {
		if s, ok := n.ipprotos.name(uint32(id), &builtinIPProtos); ok {
			return s
		}
	}
	return "ipproto-" + strconv.Itoa(int(id))
}

// IPProto reads an IP protocol: a name, a decimal number, or what IPProtoName
// writes for one without a name.
func (n *Names) IPProto(word string) (uint8, error) {
	if v, ok := parseUint(strings.TrimPrefix(word, "ipproto-"), 10, 8); ok {
		return uint8(v), nil
	}
	id, err := parseName("ipproto", word, &n.get().ipprotos, &builtinIPProtos, 10, 8)
	return uint8(id), err
}

// TypeName returns the word for a route type.
func (n *Names) TypeName(t fib.RouteType) string {
	if n.get().Numeric {
		return strconv.Itoa(int(t))
	}
	if t == fib.TypeUnspec {
		return "none" // iproute2's own word
	}
	return t.String()
}
