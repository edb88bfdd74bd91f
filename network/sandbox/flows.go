package sandbox

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flows are UDP ports of the host, as senders see them.
type Flows map[uint16]struct{}

// Forget deletes the tracked flows to the ports. It walks the host's table of flows: O(flows).
func (f Flows) Forget(host *netlink.Handle) error {
	if _, err := host.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, f); err != nil {
		return fmt.Errorf("forget UDP flows: %w", err)
	}
	return nil
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f Flows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	_, ok := f[flow.Forward.DstPort]
	return ok && flow.Forward.Protocol == unix.IPPROTO_UDP
}
