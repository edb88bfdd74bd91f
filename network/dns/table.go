// Package dns answers the name queries of containers.
//
// A table is all that the resolver of one sandbox knows: the names in each of its networks, and who is asked
// for all other names.
package dns

import "net/netip"

// Table is what the resolver of a sandbox answers. The zero value answers nothing.
type Table struct {
	Sandbox  string           // ID
	Networks []Network        // that have a resolver, the one with the default route first
	Upstream []netip.AddrPort // who is asked for other names, in order
	Search   []string
	Options  []string
}

// Network is one of a sandbox's networks, as seen from that sandbox: aliases of links are there for it alone.
type Network struct {
	Name     string
	Internal bool // nothing is forwarded for a sandbox that has only such networks
	// Records are the addresses of each name, lower case and without a dot at the end; several containers may share a name.
	Records map[string][]netip.Addr
	// Names are the first names of the endpoints, for queries by address; "name.network" is the answer to them.
	Names map[netip.Addr]string
}
