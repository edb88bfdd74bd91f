// Package null is the driver of the network none: a namespace with loopback alone.
package null

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

// Join does nothing: the namespace is all there is.
func (Driver) Join(context.Context, *driver.Network, *driver.Endpoint, *sandbox.Namespace) error {
	return nil
}

// Leave does nothing.
func (Driver) Leave(context.Context, *driver.Network, *driver.Endpoint, *sandbox.Namespace) error {
	return nil
}

// Route is none of a driver's that makes no interface.
func (Driver) Route(*driver.Network, driver.Subnet) sandbox.Default { return sandbox.Default{} }

// Traits of none.
func (Driver) Traits() driver.Traits { return driver.Traits{Single: true} }
