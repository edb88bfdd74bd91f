package firewall

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rules adds the chains of a table to a batch: those of one address family.
type rules struct {
	conn        *nftables.Conn
	table       *nftables.Table
	exact, wild *nftables.Set // nil for IPv6, whose published ports are forwarded by a process
}

// of is the bridge's part that the table is about.
func (r rules) of(b Bridge) Family {
	if r.six() {
		return b.IPv6
	}
	return b.IPv4
}

func (r rules) six() bool { return r.table.Family == nftables.TableFamilyIPv6 }

// loopback is what only the host itself may send from and to.
func (r rules) loopback() netip.Prefix {
	if r.six() {
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8)
}

// match is the conditions of a rule, and at last what it does.
type match []expr.Any

func (r rules) add(d Desired) {
	bridges := slices.DeleteFunc(slices.Clone(d.Bridges), func(b Bridge) bool { return !r.of(b).Subnet.IsValid() })
	r.protect(bridges)
	if r.exact != nil {
		r.publish()
	}
	r.masquerade(bridges)
	r.filter(bridges, d.OnlyOurs && !r.six()) // whether the host forwards IPv6 is its own affair
}

// protect drops what must not reach a container, before connections are tracked and addresses translated:
// packets to loopback addresses that do not come from loopback, which would be led to ports published there; packets with
// such a source, which services of the host would trust; and packets from elsewhere to the addresses of
// containers, unless those are the addresses that containers are known by outside.
func (r rules) protect(bridges []Bridge) {
	c := r.chain("protect", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	r.rule(c, iif("lo", false), daddr(r.loopback(), true), verdict(expr.VerdictDrop))
	r.rule(c, iif("lo", false), saddr(r.loopback()), verdict(expr.VerdictDrop))
	for _, b := range bridges {
		f := r.of(b)
		if !f.Masquerade && !b.Internal {
			continue // answers come to these addresses; the filter drops what is no answer
		}
		parts := []match{iif(b.Name, false), iif("lo", false), daddr(f.Subnet, true)}
		if f.Gateway.IsValid() {
			parts = append(parts, daddr(netip.PrefixFrom(f.Gateway, f.Gateway.BitLen()), false))
		}
		r.rule(c, append(parts, verdict(expr.VerdictDrop))...)
	}
}

// publish leads connections to the host's published ports to the containers.
func (r rules) publish() {
	in := r.chain("publish", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	out := r.chain("publish-local", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	for _, c := range []*nftables.Chain{in, out} {
		r.rule(c, toHost(), protocolTo(8), daddrTo(9), dportTo(10), r.dnat(r.exact))
		r.rule(c, toHost(), protocolTo(8), dportTo(9), r.dnat(r.wild))
	}
}

// masquerade gives connections the host's address: those to the outside; those that a container makes to a published
// port of its own network, whose answers would else not pass through the host; and the host's own from loopback.
func (r rules) masquerade(bridges []Bridge) {
	c := r.chain("masquerade", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	for _, b := range bridges {
		f := r.of(b)
		if f.Masquerade {
			r.rule(c, saddr(f.Subnet), oif(b.Name, false), masquerade())
		}
		r.rule(c, oif(b.Name, true), saddr(f.Subnet), translated(), masquerade())
		r.rule(c, oif(b.Name, true), saddr(r.loopback()), masquerade())
	}
}

// filter decides what is forwarded to and from the bridges. What concerns none of them is not ours, unless the host is a
// router because of them alone.
func (r rules) filter(bridges []Bridge, only bool) {
	policy := nftables.ChainPolicyAccept
	if only {
		policy = nftables.ChainPolicyDrop
	}
	c := r.conn.AddChain(&nftables.Chain{
		Table: r.table, Name: "forward", Type: nftables.ChainTypeFilter, Policy: &policy,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	for _, b := range bridges {
		if b.Internal {
			r.rule(c, oif(b.Name, true), iif(b.Name, false), verdict(expr.VerdictDrop))
			r.rule(c, iif(b.Name, true), oif(b.Name, false), verdict(expr.VerdictDrop))
		}
		r.rule(c, oif(b.Name, true), established(), verdict(expr.VerdictAccept))
		r.rule(c, oif(b.Name, true), translated(), verdict(expr.VerdictAccept))
		r.rule(c, oif(b.Name, true), iif(b.Name, false), verdict(expr.VerdictDrop))
		if b.Isolated {
			r.rule(c, oif(b.Name, true), iif(b.Name, true), verdict(expr.VerdictDrop))
		}
	}
	for _, b := range bridges {
		r.rule(c, iif(b.Name, true), verdict(expr.VerdictAccept))
	}
}

func (r rules) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	return r.conn.AddChain(&nftables.Chain{Table: r.table, Name: name, Type: kind, Hooknum: hook, Priority: prio})
}

func (r rules) rule(c *nftables.Chain, parts ...match) {
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: c, Exprs: slices.Concat(parts...)})
}

// dnat looks up what the registers from 8 on hold; a packet that is not in the map goes on to the next rule.
func (r rules) dnat(m *nftables.Set) match {
	return match{
		&expr.Lookup{SourceRegister: 8, DestRegister: 8, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 8, RegProtoMin: 9},
	}
}

func iif(name string, is bool) match { return device(expr.MetaKeyIIFNAME, name, is) }
func oif(name string, is bool) match { return device(expr.MetaKeyOIFNAME, name, is) }

func device(key expr.MetaKey, name string, is bool) match {
	data := make([]byte, unix.IFNAMSIZ)
	copy(data, name)
	return match{&expr.Meta{Key: key, Register: 1}, compare(is, data)}
}

// Offsets in the headers of IPv4, RFC 791, and IPv6, RFC 8200.
const (
	sourceOffset       = 12
	destinationOffset  = 16
	sourceOffset6      = 8
	destinationOffset6 = 24
)

func saddr(p netip.Prefix) match {
	if p.Addr().Is6() {
		return inPrefix(sourceOffset6, p, true)
	}
	return inPrefix(sourceOffset, p, true)
}

func daddr(p netip.Prefix, is bool) match {
	if p.Addr().Is6() {
		return inPrefix(destinationOffset6, p, is)
	}
	return inPrefix(destinationOffset, p, is)
}

func inPrefix(offset uint32, p netip.Prefix, is bool) match {
	p = p.Masked()
	size := uint32(p.Addr().BitLen() / 8)
	mask := make([]byte, size)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return match{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		compare(is, p.Addr().AsSlice()),
	}
}

// toHost matches packets to an address of the host.
func toHost() match {
	return match{
		&expr.Fib{Register: 1, ResultADDRTYPE: true, FlagDADDR: true},
		compare(true, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
}

func protocolTo(register uint32) match {
	return match{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}}
}

func daddrTo(register uint32) match {
	return match{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: destinationOffset, Len: 4}}
}

// dportTo loads bytes 2 and 3 of the transport header: the destination port of TCP, UDP and SCTP alike.
func dportTo(register uint32) match {
	return match{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}}
}

func established() match {
	return connection(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// translated matches connections whose destination was changed: IPS_DST_NAT, linux/netfilter/nf_conntrack_common.h.
func translated() match { return connection(expr.CtKeySTATUS, 1<<5) }

func connection(key expr.CtKey, bits uint32) match {
	return match{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		compare(false, make([]byte, 4)),
	}
}

func masquerade() match { return match{&expr.Masq{}} }

func verdict(k expr.VerdictKind) match { return match{&expr.Verdict{Kind: k}} }

func compare(equal bool, data []byte) *expr.Cmp {
	op := expr.CmpOpEq
	if !equal {
		op = expr.CmpOpNeq
	}
	return &expr.Cmp{Op: op, Register: 1, Data: data}
}
