// Package redirect leads a sandbox's name queries from port 53, which belongs to the workload, to where its resolver listens.
package redirect

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"gantry/network/dns"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is that of the table in the sandbox's namespace; the workload's own tables are not touched.
const tableName = "gantry-dns"

// port is where resolvers of containers ask, RFC 1035 4.2.
const port = 53

// Set makes queries to dns.Address arrive at these ports, in the network namespace at a path. It replaces what an earlier call has set, in one
// transaction.
func Set(netns string, to dns.Ports) (err error) {
	f, err := os.Open(netns)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	conn, err := nftables.New(nftables.WithNetNSFd(int(f.Fd())))
	if err != nil {
		return err
	}
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName}
	conn.AddTable(table) // so that there is one to remove
	conn.DelTable(table)
	conn.AddTable(table)
	chain := conn.AddChain(&nftables.Chain{
		Name: "output", Table: table, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: lead(unix.IPPROTO_UDP, to.UDP)})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: lead(unix.IPPROTO_TCP, to.TCP)})
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("redirect name queries: %w", err)
	}
	return nil
}

// lead is: ip daddr 127.0.0.11 PROTOCOL dport 53 dnat to :PORT
func lead(protocol byte, to uint16) []expr.Any {
	resolver := netip.MustParseAddr(dns.Address).AsSlice()
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: resolver},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Immediate{Register: 1, Data: resolver},
		&expr.Immediate{Register: 2, Data: binaryutil.BigEndian.PutUint16(to)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}
}
