package stdio

// queue is what a subscriber has yet to be sent, in memory, in pieces that are shared by all (Buffers).
type queue struct {
	buffers *Buffers
	pieces  []piece
	size    int // bytes in pieces
}

type piece struct {
	buf  *[]byte
	used int
}

func (q *queue) append(p []byte) {
	q.size += len(p)
	for len(p) > 0 {
		if n := len(q.pieces); n == 0 || q.pieces[n-1].used == chunkSize {
			q.pieces = append(q.pieces, piece{buf: q.buffers.chunks.get()})
		}
		last := &q.pieces[len(q.pieces)-1]
		n := copy((*last.buf)[last.used:], p)
		last.used += n
		p = p[n:]
	}
}

// take removes the first piece; it belongs to the caller, who puts its buffer back.
func (q *queue) take() piece {
	first := q.pieces[0]
	q.pieces = q.pieces[1:]
	if len(q.pieces) == 0 {
		q.pieces = nil
	}
	q.size -= first.used
	return first
}

// clear drops everything.
func (q *queue) clear() {
	for len(q.pieces) > 0 {
		q.buffers.chunks.put(q.take().buf)
	}
}
