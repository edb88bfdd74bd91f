package join

// supported: the child's first steps are written for this architecture.
const supported = true

// clone makes a child that shares memory with this process, runs (*plan).child on a stack of its own, and is a process otherwise.
//
//go:noescape
func clone(flags, stack uintptr, pl *plan) (pid int, errno uintptr)

// inChild is what clone calls.
//
//go:norace
//go:nosplit
//go:nocheckptr
func inChild(pl *plan) { pl.child() }
