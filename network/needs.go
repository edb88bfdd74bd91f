package network

import (
	"context"

	"gantry/network/dns"
)

// Resolver answers the name queries of sandboxes on user-defined networks, at 127.0.0.11 in their namespaces, and goes on
// while this process is gone.
type Resolver interface {
	// Set gives a sandbox its table, in place of an earlier one; the first one starts the responder in the namespace
	// at netnsPath. Idempotent.
	Set(ctx context.Context, sandboxID, netnsPath string, table dns.Table) error
	// Remove ends the responder. One that is not there is not an error.
	Remove(ctx context.Context, sandboxID string) error
}

// noResolver is for a controller that was given none.
type noResolver struct{}

func (noResolver) Set(context.Context, string, string, dns.Table) error { return nil }
func (noResolver) Remove(context.Context, string) error                 { return nil }
