// Package parent finds and makes the interfaces of the host that macvlan and ipvlan networks stand on.
package parent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"gantry/network/driver"
	"gantry/network/sandbox"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// mark begins the alias of the interfaces that an engine has made.
const mark = "gantry-parent:"

// Parents are those of the networks of one driver. Safe for concurrent use.
type Parents struct {
	host   *netlink.Handle
	owner  string
	option string

	mu   sync.Mutex // guards used
	used map[string]use
}

// use is a network's parent.
type use struct {
	parent string
	alone  bool // the parent has room for this network only
}

// New returns the parents of networks that name theirs by an option. owner is the data root, which marks what is made.
func New(host *netlink.Handle, owner, option string) *Parents {
	return &Parents{host: host, owner: owner, option: option, used: map[string]use{}}
}

// of is the name of a network's parent: that of the option, or one of the network's own that leads nowhere.
func (p *Parents) of(n *driver.Network) string {
	if name := n.Options[p.option]; name != "" {
		return name
	}
	return "dm-" + n.ID[:min(12, len(n.ID))]
}

// vlan splits "eth0.10".
func vlan(name string) (on string, id int, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 {
		return "", 0, false
	}
	id, err := strconv.Atoi(name[i+1:])
	return name[:i], id, err == nil
}

// Check refuses a parent that Ensure cannot make, and one that a network wants or has for itself alone. Errors: invalid argument, permission
// denied.
func (p *Parents) Check(n *driver.Network, alone bool) error {
	name, host := p.of(n), p.host
	p.mu.Lock()
	for id, u := range p.used {
		if id != n.ID && u.parent == name && (u.alone || alone) {
			p.mu.Unlock()
			return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("network %s is already using parent interface %s", id[:min(12, len(id))], name))
		}
	}
	p.mu.Unlock()
	if n.Options[p.option] == "" {
		return nil
	}
	if name == "lo" {
		return errdefs.ErrInvalidArgument.WithMessage("loopback interface is not a valid parent link")
	}
	_, err := host.LinkByName(name)
	if err == nil || !errors.As(err, new(netlink.LinkNotFoundError)) {
		return err
	}
	on, id, ok := vlan(name)
	if !ok {
		return errdefs.ErrInvalidArgument.WithMessage("parent interface " + name + " was not found on the host and could not be made: it has no VLAN number, as in eth0.10")
	}
	if id < 1 || id > 4094 { // IEEE 802.1Q
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("vlan id must be between 1-4094, received: %d", id))
	}
	if _, err := host.LinkByName(on); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to find master interface %s on the Docker host: %v", on, err))
	}
	return nil
}

// Ensure makes the parent if it is not there: a VLAN of an interface, or an interface that leads nowhere.
func (p *Parents) Ensure(n *driver.Network, alone bool) error {
	name := p.of(n)
	p.mu.Lock()
	p.used[n.ID] = use{name, alone}
	p.mu.Unlock()
	_, err := p.host.LinkByName(name)
	if err == nil || !errors.As(err, new(netlink.LinkNotFoundError)) {
		return err
	}
	link, err := p.draft(n, name)
	if err != nil {
		return err
	}
	err = p.host.LinkAdd(link)
	if errors.Is(err, unix.EOPNOTSUPP) && link.Type() == "dummy" {
		err = p.host.LinkAdd(&netlink.Bridge{LinkAttrs: *link.Attrs()}) // without ports, it leads nowhere either, and every kernel has it
	}
	if err != nil {
		return fmt.Errorf("add interface %s: %w", name, err)
	}
	if link, err = p.host.LinkByName(name); err != nil {
		return err
	}
	return errors.Join(p.host.LinkSetAlias(link, mark+p.owner), p.host.LinkSetUp(link))
}

// draft is a parent that is to be made.
func (p *Parents) draft(n *driver.Network, name string) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if n.Options[p.option] == "" {
		return &netlink.Dummy{LinkAttrs: attrs}, nil
	}
	on, id, ok := vlan(name)
	if !ok {
		return nil, fmt.Errorf("parent interface %s is gone", name)
	}
	master, err := p.host.LinkByName(on)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", on, err)
	}
	attrs.ParentIndex = master.Attrs().Index
	return &netlink.Vlan{LinkAttrs: attrs, VlanId: id}, nil
}

// Remove takes away a parent that Ensure has made, unless another network has it. One that is gone is not an error.
func (p *Parents) Remove(n *driver.Network) error {
	name := p.of(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, n.ID)
	for _, u := range p.used {
		if u.parent == name {
			return nil
		}
	}
	link, err := p.host.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil || link.Attrs().Alias != mark+p.owner {
		return err
	}
	return p.host.LinkDel(link)
}

// Sweep removes the parents that an earlier process has made for networks that are gone.
func (p *Parents) Sweep(_ []*driver.Network) error {
	links, err := sandbox.Dump(p.host.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	known := map[string]bool{}
	p.mu.Lock()
	for _, u := range p.used {
		known[u.parent] = true
	}
	p.mu.Unlock()
	var errs []error
	for _, l := range links {
		if l.Attrs().Alias == mark+p.owner && !known[l.Attrs().Name] {
			errs = append(errs, p.host.LinkDel(l))
		}
	}
	return errors.Join(errs...)
}

// Mark is by what an endpoint's interface is found again: its name until it is in its namespace, its alias there.
func Mark(e *driver.Endpoint) string { return "gv" + e.ID[:min(12, len(e.ID))] }

// Attrs are those of an endpoint's interface on the parent. It has a name of its own until it is in its namespace.
func (p *Parents) Attrs(n *driver.Network, e *driver.Endpoint) (netlink.LinkAttrs, error) {
	attrs := netlink.NewLinkAttrs()
	name := p.of(n)
	link, err := p.host.LinkByName(name)
	if err != nil {
		return attrs, fmt.Errorf("parent interface %s: %w", name, err)
	}
	attrs.Name, attrs.ParentIndex, attrs.MTU = Mark(e), link.Attrs().Index, link.Attrs().MTU
	if text := n.Options[driver.MTU]; text != "" {
		if attrs.MTU, err = strconv.Atoi(text); err != nil {
			return attrs, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("failed to parse %s value: %q", driver.MTU, text))
		}
	}
	return attrs, nil
}
