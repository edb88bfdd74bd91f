package sandbox

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Clear removes a namespace that an earlier process made, and the interfaces in it together with their other ends, even if
// a process is still there. Interfaces are found from within: on the host, one of ours cannot be told from
// somebody else's on the same bridge.
func Clear(key string) error {
	return errors.Join(removeInterfaces(key), Remove(key))
}

func removeInterfaces(key string) error {
	ns, err := netns.GetFromPath(key)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("open network namespace %s: %w", key, err)
	}
	defer func() { _ = ns.Close() }()
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(ns), &fs); err != nil {
		return os.NewSyscallError("fstatfs", err)
	} else if fs.Type != unix.NSFS_MAGIC {
		return nil // a plain file: what was mounted there went with a restart of the machine
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", key, err)
	}
	defer h.Close()
	links, err := Dump(h.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces in %s: %w", key, err)
	}
	var errs []error
	for _, l := range links {
		if t := l.Type(); t != "veth" && t != "macvlan" && t != "ipvlan" {
			continue
		}
		if err := h.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("remove interface %s in %s: %w", l.Attrs().Name, key, err))
		}
	}
	return errors.Join(errs...)
}
