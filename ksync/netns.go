package ksync

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// NetNS names a network namespace. The zero value is the caller's own. Values are
// comparable; whether the namespace exists shows when it is used.
type NetNS struct {
	kind netnsKind
	text string
	pid  int
}

type netnsKind uint8

const (
	netnsCurrent netnsKind = iota
	netnsNamed
	netnsPID
	netnsPath
)

// Current is the namespace of the calling thread.
func Current() NetNS { return NetNS{} }

// Named is a namespace made by "ip netns add".
func Named(name string) NetNS { return NetNS{kind: netnsNamed, text: name} }

// PID is the namespace of a process.
func PID(pid int) NetNS { return NetNS{kind: netnsPID, pid: pid} }

// Path is the namespace that a file holds open, such as /proc/1/ns/net.
func Path(file string) NetNS { return NetNS{kind: netnsPath, text: file} }

// String is for messages: such as `network namespace "blue"`.
func (n NetNS) String() string {
	switch n.kind {
	case netnsNamed:
		return fmt.Sprintf("network namespace %q", n.text)
	case netnsPID:
		return "network namespace of process " + strconv.Itoa(n.pid)
	case netnsPath:
		return "network namespace " + n.text
	}
	return "current network namespace"
}

// files are the files that may hold the namespace; none for the current one.
func (n NetNS) files() ([]string, error) {
	switch n.kind {
	case netnsNamed:
		if n.text == "" || n.text == "." || n.text == ".." || strings.ContainsAny(n.text, "/\x00") {
			return nil, errors.New("a name is one word without slash; give a file by its path instead")
		}
		return []string{"/run/netns/" + n.text, "/var/run/netns/" + n.text}, nil
	case netnsPID:
		if n.pid <= 0 {
			return nil, errors.New("process ids are positive")
		}
		return []string{fmt.Sprintf("/proc/%d/ns/net", n.pid)}, nil
	case netnsPath:
		return []string{n.text}, nil
	}
	return nil, nil
}
