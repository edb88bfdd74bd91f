package local

import (
	"bytes"
	"time"

	"gantry/logdriver"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxAttrs bounds the attributes of one message: a container has no more labels worth showing.
const maxAttrs = 4096

// decoded is what messages share.
type decoded struct {
	rawAttrs []byte // what attrs was read from
	attrs    []logdriver.Attr
	raw      []byte // attributes of the message at hand
}

// Decode reads a LogEntry. The line is part of record. An entry without a time is no message.
func (f *format) Decode(record []byte, m *logdriver.Message) bool {
	*m = logdriver.Message{}
	f.decoded.raw = f.decoded.raw[:0]
	partial, last := false, false
	var nano int64
	ok := fields(record, func(field protowire.Number, number uint64, value []byte) bool {
		switch field {
		case entrySource:
			m.Source = source(value)
		case entryTime:
			nano = int64(number)
		case entryLine:
			m.Line = value
		case entryPartial:
			partial = number != 0
		case entryPart:
			return decodePart(value, m, &last)
		case entryAttrs:
			f.decoded.raw = protowire.AppendBytes(f.decoded.raw, value)
		}
		return true
	})
	if !ok || nano == 0 {
		return false
	}
	m.Time = time.Unix(0, nano).UTC()
	m.Partial = partial && !last
	m.Attrs, ok = f.decoded.sameAttrs()
	return ok
}

func decodePart(data []byte, m *logdriver.Message, last *bool) bool {
	return fields(data, func(field protowire.Number, number uint64, value []byte) bool {
		switch field {
		case partLast:
			*last = number != 0
		case partID:
			m.PartialID = string(value)
		case partOrdinal:
			m.Ordinal = int(int32(number))
		}
		return true
	})
}

func source(value []byte) string {
	switch string(value) {
	case "stdout":
		return "stdout"
	case "stderr":
		return "stderr"
	default:
		return string(value)
	}
}

// sameAttrs returns the attributes of the message at hand, which are mostly those of the one before.
func (d *decoded) sameAttrs() ([]logdriver.Attr, bool) {
	if len(d.raw) == 0 {
		return nil, true
	}
	if bytes.Equal(d.raw, d.rawAttrs) {
		return d.attrs, true
	}
	var attrs []logdriver.Attr
	for rest := d.raw; len(rest) > 0; {
		pair, n := protowire.ConsumeBytes(rest)
		if n < 0 || len(attrs) == maxAttrs {
			return nil, false
		}
		rest = rest[n:]
		var a logdriver.Attr
		ok := fields(pair, func(field protowire.Number, _ uint64, value []byte) bool {
			switch field {
			case attrKey:
				a.Key = string(value)
			case attrValue:
				a.Value = string(value)
			}
			return true
		})
		if !ok {
			return nil, false
		}
		attrs = append(attrs, a)
	}
	d.rawAttrs = append(d.rawAttrs[:0], d.raw...)
	d.attrs = attrs
	return attrs, true
}

// fields calls f for every field of a message: with number for a varint, with value for bytes.
// Fields of other types are skipped. It reports false for what is not a message, and when f does.
func fields(data []byte, f func(field protowire.Number, number uint64, value []byte) bool) bool {
	for len(data) > 0 {
		field, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		var number uint64
		var value []byte
		switch typ {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(field, typ, data)
		}
		if n < 0 {
			return false
		}
		data = data[n:]
		if (typ == protowire.VarintType || typ == protowire.BytesType) && !f(field, number, value) {
			return false
		}
	}
	return true
}
