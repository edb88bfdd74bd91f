// Package host is the driver of the network host: containers in it have the host's namespace, so there is nothing to
// make.
package host

import (
	"context"

	"gantry/network/driver"
	"gantry/network/sandbox"
)

// Driver has nothing to do.
type Driver struct{}

// Check accepts everything.
func (Driver) Check(*driver.Network) error { return nil }

// Create does nothing.
func (Driver) Create(context.Context, *driver.Network) error { return nil }

// Remove does nothing.
func (Driver) Remove(context.Context, *driver.Network) error { return nil }

// Join does nothing.
func (Driver) Join(context.Context, *driver.Network, *driver.Endpoint, *sandbox.Namespace) error {
	return nil
}

// Leave does nothing.
func (Driver) Leave(context.Context, *driver.Network, *driver.Endpoint, *sandbox.Namespace) error {
	return nil
}

// Route is none of a driver's that makes no interface.
func (Driver) Route(*driver.Network, driver.Subnet) sandbox.Default { return sandbox.Default{} }

// Traits of host.
func (Driver) Traits() driver.Traits { return driver.Traits{Single: true} }
