package protocol

import "encoding/binary"

// FrameHeader is the length of the header that stands before the data of a stream, in bytes.
const FrameHeader = 8

// Streams of a frame, as the Engine API numbers them.
const (
	Stdout byte = 1
	Stderr byte = 2
)

// AppendFrame appends the header of a frame of size bytes: the stream, three zeros, and the length.
func AppendFrame(to []byte, stream byte, size int) []byte {
	return binary.BigEndian.AppendUint32(append(to, stream, 0, 0, 0), uint32(size))
}
