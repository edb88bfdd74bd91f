package firewall

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Our table, and the maps of published ports in it.
const (
	tableName = "gantry"
	exactMap  = "published"     // protocol, address and port of the host to address and port of a container
	anyMap    = "published-any" // protocol and port at all addresses of the host
)

// chunk bounds how many elements a message holds: a netlink attribute has at most 64 KiB.
const chunk = 256

// elementSize is more than an element takes in a batch, in bytes: its key, its value and five attribute headers.
const elementSize = 128

// NFTables is the packet filter of the kernel's nf_tables, in the network namespace of the process.
// It has tables of its own, "ip gantry" and, where a bridge has IPv6, "ip6 gantry".
type NFTables struct {
	mu sync.Mutex // one batch at a time
}

// Set implements Firewall.
func (f *NFTables) Set(_ context.Context, d Desired) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := connect(len(d.Ports))
	if err != nil {
		return err
	}
	t := table()
	c.AddTable(t) // so that there is one to delete
	c.DelTable(t)
	c.AddTable(t)
	exact, wild := portMaps(t)
	if err := errors.Join(c.AddSet(exact, nil), c.AddSet(wild, nil)); err != nil {
		return err
	}
	if err := change(d.Ports, exact, wild, c.SetAddElements); err != nil {
		return err
	}
	rules{conn: c, table: t, exact: exact, wild: wild}.add(d)
	if err := addIPv6(c, d); err != nil {
		return err
	}
	return flush(c, "replace rules")
}

// addIPv6 replaces the table of IPv6, which is there only where a bridge has IPv6: a kernel may be without.
func addIPv6(c *nftables.Conn, d Desired) error {
	wanted := slices.ContainsFunc(d.Bridges, func(b Bridge) bool { return b.IPv6.Subnet.IsValid() })
	there, err := has(c, nftables.TableFamilyIPv6)
	if err != nil && !wanted {
		return nil // it lists no tables because it knows no IPv6
	}
	if err != nil {
		return err
	}
	t := &nftables.Table{Family: nftables.TableFamilyIPv6, Name: tableName}
	if there {
		c.DelTable(t)
	}
	if wanted {
		c.AddTable(t)
		rules{conn: c, table: t}.add(d)
	}
	return nil
}

// has reports whether our table of a family is there.
func has(c *nftables.Conn, family nftables.TableFamily) (bool, error) {
	tables, err := c.ListTablesOfFamily(family)
	if err != nil {
		return false, fmt.Errorf("nftables: list tables: %w", explain(err))
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == tableName }), nil
}

// Add implements Firewall.
func (f *NFTables) Add(_ context.Context, ports []Port) error {
	return f.update(ports, (*nftables.Conn).SetAddElements, "publish ports")
}

// Remove implements Firewall.
func (f *NFTables) Remove(_ context.Context, ports []Port) error {
	return f.update(ports, (*nftables.Conn).SetDeleteElements, "withdraw ports")
}

func (f *NFTables) update(ports []Port, op func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error, what string) error {
	if len(ports) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := connect(len(ports))
	if err != nil {
		return err
	}
	exact, wild := portMaps(table())
	err = change(ports, exact, wild, func(s *nftables.Set, e []nftables.SetElement) error { return op(c, s, e) })
	if err != nil {
		return err
	}
	return flush(c, what)
}

// Published implements Firewall.
func (f *NFTables) Published(context.Context) ([]Port, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := connect(0)
	if err != nil {
		return nil, err
	}
	if there, err := has(c, nftables.TableFamilyIPv4); err != nil || !there {
		return nil, err
	}
	var ports []Port
	exact, wild := portMaps(table())
	for _, s := range []*nftables.Set{exact, wild} {
		elements, err := c.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("list published ports: %w", err)
		}
		for _, e := range elements {
			if p, ok := decode(e); ok {
				ports = append(ports, p)
			}
		}
	}
	return ports, nil
}

func flush(c *nftables.Conn, what string) error {
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", what, explain(err))
	}
	return nil
}

// connect returns a connection whose buffers have room for a batch of so many elements, which is sent as one message and
// answered by one acknowledgement for each chunk. Batches of the usual size fit into what a socket has anyway.
func connect(elements int) (*nftables.Conn, error) {
	size := elements * elementSize
	if size < 64<<10 {
		return nftables.New()
	}
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(size), c.SetReadBuffer(size))
	}))
}

// explain says what a kernel lacks that does not know what it was asked.
func explain(err error) error {
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("the kernel has no nf_tables, or not all of it that is needed (--iptables=false does without): %w", err)
	}
	return err
}

func table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
}

func portMaps(t *nftables.Table) (exact, wild *nftables.Set) {
	to := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	exact = &nftables.Set{
		Table: t, Name: exactMap, IsMap: true, Concatenation: true, DataType: to,
		KeyType: nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeIPAddr, nftables.TypeInetService),
	}
	wild = &nftables.Set{
		Table: t, Name: anyMap, IsMap: true, Concatenation: true, DataType: to,
		KeyType: nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
	}
	return exact, wild
}

// change applies op to the elements of the ports. Ports that are not IPv4 have no element.
func change(ports []Port, exact, wild *nftables.Set, op func(*nftables.Set, []nftables.SetElement) error) error {
	elements := map[*nftables.Set][]nftables.SetElement{}
	for _, p := range ports {
		if !p.Host.Addr().Is4() || !p.To.Addr().Is4() {
			continue
		}
		set := exact
		if p.Host.Addr().IsUnspecified() {
			set = wild
		}
		elements[set] = append(elements[set], encode(p))
	}
	for set, all := range elements {
		for len(all) > 0 {
			n := min(chunk, len(all))
			if err := op(set, all[:n]); err != nil {
				return err
			}
			all = all[n:]
		}
	}
	return nil
}

// encode makes a map element: every part of a concatenation fills registers of 4 bytes.
func encode(p Port) nftables.SetElement {
	key := []byte{protocol(p.Protocol), 0, 0, 0}
	if !p.Host.Addr().IsUnspecified() {
		key = append(key, p.Host.Addr().AsSlice()...)
	}
	return nftables.SetElement{Key: appendPort(key, p.Host.Port()), Val: appendPort(p.To.Addr().AsSlice(), p.To.Port())}
}

func decode(e nftables.SetElement) (Port, bool) {
	host := netip.IPv4Unspecified()
	switch {
	case len(e.Val) != 8:
		return Port{}, false
	case len(e.Key) == 12:
		host = netip.AddrFrom4([4]byte(e.Key[4:8]))
	case len(e.Key) != 8:
		return Port{}, false
	}
	return Port{
		Protocol: protocolName(e.Key[0]),
		Host:     netip.AddrPortFrom(host, binary.BigEndian.Uint16(e.Key[len(e.Key)-4:])),
		To:       netip.AddrPortFrom(netip.AddrFrom4([4]byte(e.Val[:4])), binary.BigEndian.Uint16(e.Val[4:])),
	}, true
}

func appendPort(b []byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

func protocol(name string) byte {
	switch name {
	case "udp":
		return unix.IPPROTO_UDP
	case "sctp":
		return unix.IPPROTO_SCTP
	default:
		return unix.IPPROTO_TCP
	}
}

func protocolName(n byte) string {
	switch n {
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	default:
		return "tcp"
	}
}
