package security

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/moby/profiles/apparmor"
)

// kernel is where the facts about this host's kernel are read.
type kernel struct {
	root   string                     // "/", or a tree that a test made
	loaded func(string) (bool, error) // whether an AppArmor profile is in the kernel
	load   func(string) error         // puts the default profile there
}

func hostKernel() kernel {
	return kernel{root: "/", loaded: apparmor.IsLoaded, load: apparmor.InstallDefault}
}

// appArmor reports whether profiles can be enforced: the module is on, its files are mounted
// and the parser that loads profiles is installed.
func (k kernel) appArmor() bool {
	enabled, err := os.ReadFile(filepath.Join(k.root, "sys/module/apparmor/parameters/enabled"))
	if err != nil || !bytes.HasPrefix(enabled, []byte("Y")) {
		return false
	}
	return k.exists("sys/kernel/security/apparmor") &&
		(k.exists("sbin/apparmor_parser") || k.exists("usr/sbin/apparmor_parser"))
}

// ensureAppArmor loads a profile that is not in the kernel: updates of the host's own profiles unload it now and then.
func (k kernel) ensureAppArmor(name string) error {
	if ok, err := k.loaded(name); err != nil || ok {
		return err
	}
	return k.load(name)
}

func (k kernel) seccomp() bool { return k.exists("proc/sys/kernel/seccomp/actions_avail") }

func (k kernel) cgroupNamespaces() bool { return k.exists("proc/self/ns/cgroup") }

func (k kernel) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(k.root, name))
	return err == nil
}
