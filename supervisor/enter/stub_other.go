//go:build !amd64

package enter

// stubCode returns nothing: there is no such program for this architecture, and runtimes are asked.
func stubCode() []byte { return nil }
