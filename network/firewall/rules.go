package firewall

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// rules adds the chains of a table to a batch.
type rules struct {
	conn        *nftables.Conn
	table       *nftables.Table
	exact, wild *nftables.Set
}

// match is the conditions of a rule, and at last what it does.
type match []expr.Any

func (r rules) add(d Desired) {
	r.protect(d.Bridges)
	r.publish()
	r.masquerade(d.Bridges)
	r.filter(d.Bridges, d.OnlyOurs)
}

// protect drops what must not reach a container, before connections are tracked and addresses translated:
// packets to loopback addresses that do not come from loopback, which would be led to ports published there; packets with
// such a source, which services of the host would trust; and packets from elsewhere to the addresses of
// containers, unless those are the addresses that containers are known by outside.
func (r rules) protect(bridges []Bridge) {
	c := r.chain("protect", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	r.rule(c, iif("lo", false), daddr(loopback(), true), verdict(expr.VerdictDrop))
	r.rule(c, iif("lo", false), saddr(loopback()), verdict(expr.VerdictDrop))
	for _, b := range bridges {
		if !b.Masquerade {
			continue // answers come to these addresses; the filter drops what is no answer
		}
		host := netip.PrefixFrom(b.Gateway, 32)
		r.rule(c, iif(b.Name, false), iif("lo", false), daddr(b.Subnet, true), daddr(host, false), verdict(expr.VerdictDrop))
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
		if b.Masquerade {
			r.rule(c, saddr(b.Subnet), oif(b.Name, false), masquerade())
		}
		r.rule(c, oif(b.Name, true), saddr(b.Subnet), translated(), masquerade())
		r.rule(c, oif(b.Name, true), saddr(loopback()), masquerade())
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

// Offsets in the IPv4 header, RFC 791.
const (
	sourceOffset      = 12
	destinationOffset = 16
)

func saddr(p netip.Prefix) match          { return inPrefix(sourceOffset, p, true) }
func daddr(p netip.Prefix, is bool) match { return inPrefix(destinationOffset, p, is) }

func inPrefix(offset uint32, p netip.Prefix, is bool) match {
	p = p.Masked()
	mask := make([]byte, 4)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return match{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
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

func loopback() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8) }

func masquerade() match { return match{&expr.Masq{}} }

func verdict(k expr.VerdictKind) match { return match{&expr.Verdict{Kind: k}} }

func compare(equal bool, data []byte) *expr.Cmp {
	op := expr.CmpOpEq
	if !equal {
		op = expr.CmpOpNeq
	}
	return &expr.Cmp{Op: op, Register: 1, Data: data}
}
