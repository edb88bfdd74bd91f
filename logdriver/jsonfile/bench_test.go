package jsonfile

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"
	"time"

	"gantry/logdriver"
)

// BenchmarkWrite is a container that writes lines of 100 bytes flat out. The figure to reach is 250 MB/s.
func BenchmarkWrite(b *testing.B) {
	w, err := Open(logdriver.Info{Path: filepath.Join(b.TempDir(), "x-json.log")})
	if err != nil {
		b.Fatal(err)
	}
	m := logdriver.Message{Line: bytes.Repeat([]byte("0123456789"), 10)[:99], Source: "stdout", Time: time.Now()}
	b.SetBytes(100)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%600 == 0 { // lines of one read, of 64 KiB
			m.Time = m.Time.Add(1234)
		}
		if err := w.Log(&m); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkEncode(b *testing.B) {
	f := &format{}
	m := logdriver.Message{Line: bytes.Repeat([]byte("0123456789"), 10)[:99], Source: "stdout", Time: time.Now()}
	b.SetBytes(100)
	var buf []byte
	for i := 0; b.Loop(); i++ {
		if i%600 == 0 {
			m.Time = m.Time.Add(1234)
		}
		buf = f.Append(buf[:0], &m)
	}
}

// BenchmarkDecode reads what BenchmarkEncode writes.
func BenchmarkDecode(b *testing.B) {
	f := &format{}
	m := logdriver.Message{Line: bytes.Repeat([]byte("0123456789"), 10)[:99], Source: "stdout", Time: time.Now()}
	record := bytes.TrimSuffix(f.Append(nil, &m), []byte{'\n'})
	b.SetBytes(100)
	b.ReportAllocs()
	for b.Loop() {
		if !f.Decode(record, &m) {
			b.Fatal(io.ErrUnexpectedEOF)
		}
	}
}
