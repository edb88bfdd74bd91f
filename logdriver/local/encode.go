package local

import (
	"encoding/binary"

	"gantry/logdriver"
	"gantry/logdriver/logfile"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of LogEntry and of the messages in it.
const (
	entrySource  = 1
	entryTime    = 2
	entryLine    = 3
	entryPartial = 4
	entryPart    = 5
	entryAttrs   = 6

	partLast    = 1
	partID      = 2
	partOrdinal = 3

	attrKey   = 1
	attrValue = 2
)

// sizeBytes is the length of the size before and behind a message.
const sizeBytes = 4

// format is the encoding of a record.
type format struct {
	attrs   []byte // of every message, encoded fields of LogEntry; nil for none
	part    []byte // scratch memory
	decoded decoded
}

func newFormat() logfile.Format { return &format{} }

// Append leaves out fields that are zero, as every protobuf encoder does.
func (f *format) Append(dst []byte, m *logdriver.Message) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = appendBytes(dst, entrySource, m.Source)
	if nano := m.Time.UnixNano(); nano != 0 {
		dst = protowire.AppendTag(dst, entryTime, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(nano))
	}
	dst = appendBytes(dst, entryLine, m.Line)
	if m.Partial || m.PartialID != "" {
		dst = protowire.AppendTag(dst, entryPartial, protowire.VarintType)
		dst = append(dst, 1)
		dst = protowire.AppendTag(dst, entryPart, protowire.BytesType)
		f.part = appendPart(f.part[:0], m)
		dst = protowire.AppendBytes(dst, f.part)
	}
	dst = append(dst, f.attrs...)
	size := uint32(len(dst) - start - sizeBytes)
	binary.BigEndian.PutUint32(dst[start:], size)
	return binary.BigEndian.AppendUint32(dst, size)
}

func appendPart(dst []byte, m *logdriver.Message) []byte {
	if !m.Partial {
		dst = protowire.AppendTag(dst, partLast, protowire.VarintType)
		dst = append(dst, 1)
	}
	dst = appendBytes(dst, partID, m.PartialID)
	if m.Ordinal != 0 {
		dst = protowire.AppendTag(dst, partOrdinal, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(m.Ordinal))
	}
	return dst
}

func encodeAttrs(attrs []logdriver.Attr) []byte {
	var dst []byte
	for _, a := range attrs {
		dst = protowire.AppendTag(dst, entryAttrs, protowire.BytesType)
		pair := appendBytes(appendBytes(nil, attrKey, a.Key), attrValue, a.Value)
		dst = protowire.AppendBytes(dst, pair)
	}
	return dst
}

// appendBytes adds a field of type string or bytes.
func appendBytes[T string | []byte](dst []byte, field protowire.Number, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	dst = protowire.AppendTag(dst, field, protowire.BytesType)
	dst = protowire.AppendVarint(dst, uint64(len(v)))
	return append(dst, v...)
}
