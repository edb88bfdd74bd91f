package sandbox

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// Dump asks the kernel for a list again when it has changed meanwhile: the kernel gives it in parts, and says so (NLM_F_DUMP_INTR,
// netlink(7)). On a host where containers come and go without a pause, the tenth list is taken as it is.
func Dump[T any](list func() ([]T, error)) ([]T, error) {
	for range 9 {
		out, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	out, err := list()
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		err = nil
	}
	return out, err
}
