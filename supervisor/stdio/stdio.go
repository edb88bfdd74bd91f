// Package stdio connects a container's process to its log and to attached clients.
//
//	process --pipe or terminal--> Pump --> Log (lines, parts) --> logdriver.Writer
//	                                   \-> Fan --> Subscriber ... --> socket --> gantryd
//	process <--pipe or terminal-- Stdin <-- Subscriber ...
//
// A pump reads what the process writes, when there is something to read: it
// holds no buffer while it waits. The log comes first; a log that fails never
// stops the process. A subscriber that is slow holds the process back, for the
// sake of pipelines; one that has stopped reading is moved to a file, where it
// catches up or is ended, so that it cannot hold the process for long.
package stdio

import (
	"sync"
	"time"
)

// chunkSize is how much is read at once, in bytes: the size of a pipe's buffer by default, pipe(7).
const chunkSize = 64 << 10

// chunks are the buffers of everything that reads here.
type chunks struct{ pool sync.Pool }

func (c *chunks) get() *[]byte {
	if b, ok := c.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, chunkSize)
	return &b
}

func (c *chunks) put(b *[]byte) { c.pool.Put(b) }

// Buffers are shared by the streams of all containers. The zero value is ready.
type Buffers struct{ chunks chunks }

// past is a deadline that wakes a reader at once.
func past() time.Time { return time.Unix(1, 0) }
