package local

import (
	"encoding/binary"
	"errors"
	"os"

	"gantry/logdriver/logfile"
)

var errDamaged = errors.New("a record's sizes do not agree")

// Split cuts by the size. A size of zero is a hole that a power cut has left.
func (f *format) Split(data []byte) (int, []byte, error) {
	if len(data) < sizeBytes {
		return 0, nil, nil
	}
	size := binary.BigEndian.Uint32(data)
	if size > logfile.MaxRecord {
		return 0, nil, errDamaged
	}
	whole := int(size) + 2*sizeBytes
	if len(data) < whole {
		return 0, nil, nil
	}
	message := data[sizeBytes : whole-sizeBytes]
	if binary.BigEndian.Uint32(data[whole-sizeBytes:]) != size {
		return 0, nil, errDamaged
	}
	if size == 0 {
		return whole, nil, nil
	}
	return whole, message, nil
}

// Before goes by the size behind the message, and checks it against the one before.
func (f *format) Before(b *logfile.Blocks, end int64) (int64, error) {
	size, err := sizeAt(b, end-sizeBytes)
	if err != nil {
		return 0, err
	}
	start := end - size - 2*sizeBytes
	if first, err := sizeAt(b, start); err != nil || first != size {
		return 0, errors.Join(errDamaged, err)
	}
	return start, nil
}

func sizeAt(b *logfile.Blocks, off int64) (int64, error) {
	if off < 0 {
		return 0, errDamaged
	}
	var p [sizeBytes]byte
	if _, err := b.ReadAt(p[:], off); err != nil {
		return 0, err
	}
	size := int64(binary.BigEndian.Uint32(p[:]))
	if size > logfile.MaxRecord {
		return 0, errDamaged
	}
	return size, nil
}

// End trusts the last record if its two sizes agree, and else walks through the file.
func (f *format) End(b *logfile.Blocks, size int64) (int64, error) {
	if size >= 2*sizeBytes {
		if start, err := f.Before(b, size); err == nil && size-start > 2*sizeBytes {
			return size, nil
		}
	}
	var at, whole int64
	for {
		head, err := b.Ahead(at, sizeBytes)
		if err != nil {
			return 0, err
		}
		if len(head) < sizeBytes {
			return whole, nil
		}
		n := int64(binary.BigEndian.Uint32(head))
		tail, err := b.Ahead(at+sizeBytes+n, sizeBytes)
		if err != nil {
			return 0, err
		}
		if n > logfile.MaxRecord || len(tail) < sizeBytes || int64(binary.BigEndian.Uint32(tail)) != n {
			return whole, nil
		}
		at += n + 2*sizeBytes
		if n > 0 {
			whole = at
		}
	}
}

// Repair cuts off what is not whole.
func (f *format) Repair(file *os.File, size int64) (int64, error) {
	end, err := f.End(logfile.NewBlocks(file), size)
	if err != nil || end == size {
		return size, err
	}
	return end, file.Truncate(end)
}
