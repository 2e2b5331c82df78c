package netnstest

import (
	"os"
	"path/filepath"
	"strings"
)

// Sysctl sets a kernel parameter of the namespace and stops the test if it
// cannot. The key is written as sysctl(8) takes it: net.ipv4.ip_forward, or with
// slashes where a link's name has a dot (net/ipv4/conf/eth0.5/rp_filter).
func (ns *NS) Sysctl(key, value string) {
	ns.t.Helper()
	if err := ns.TrySysctl(key, value); err != nil {
		ns.t.Fatalf("sysctl %s=%s in %s: %v", key, value, ns.name, err)
	}
}

// TrySysctl is [NS.Sysctl] for parameters that this kernel may lack: the error is
// then fs.ErrNotExist.
func (ns *NS) TrySysctl(key, value string) error {
	return ns.Do(func() error { // /proc/sys/net shows the namespace of the thread that opens it
		f, err := os.OpenFile(sysctlPath(key), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(value)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

// ReadSysctl returns a kernel parameter of the namespace without its newline.
func (ns *NS) ReadSysctl(key string) (value string, err error) {
	err = ns.Do(func() error {
		b, err := os.ReadFile(sysctlPath(key))
		value = strings.TrimSuffix(string(b), "\n")
		return err
	})
	return value, err
}

// sysctlPath maps a key to its file. The separator met first decides which of
// dot and slash separates; the other one belongs to a name.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		key = strings.NewReplacer(".", "/", "/", ".").Replace(key)
	}
	return filepath.Join("/proc/sys", key)
}
