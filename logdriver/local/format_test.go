package local

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry/logdriver"
	"gantry/logdriver/logfile"
)

// TestRecordsAreDockers compares with records as the definition of the message in the package comment gives them.
func TestRecordsAreDockers(t *testing.T) {
	at := time.Unix(0, 300)
	for _, c := range []struct {
		name string
		m    logdriver.Message
		want string
	}{
		{"whole line", logdriver.Message{Line: []byte("hi"), Source: "stdout", Time: at},
			"0000000f" + "0a067374646f7574" + "10ac02" + "1a026869" + "0000000f"},
		{"part", logdriver.Message{Line: []byte("hi"), Source: "stdout", Time: at, Partial: true, PartialID: "x", Ordinal: 1},
			"00000018" + "0a067374646f7574" + "10ac02" + "1a026869" + "2001" + "2a05120178" + "1801" + "00000018"},
		{"last part", logdriver.Message{Line: []byte("hi"), Source: "stdout", Time: at, PartialID: "x", Ordinal: 2},
			"0000001a" + "0a067374646f7574" + "10ac02" + "1a026869" + "2001" + "2a070801" + "120178" + "1802" + "0000001a"},
	} {
		if got := hex.EncodeToString((&format{}).Append(nil, &c.m)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestDamageInTheMiddleEndsTheFileNotTheLog(t *testing.T) {
	directory := t.TempDir()
	info := logdriver.Info{Path: directory}
	for i, name := range []string{"one", "two"} {
		w, err := Open(info)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := w.Log(&logdriver.Message{Line: []byte(name), Source: "stdout", Time: time.Unix(int64(i)+1, 0)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		path := filepath.Join(directory, fileName)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/3] = 0xff // the size of the second record
		if err := os.WriteFile(path+".1", data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	r, err := OpenReader(info)
	if err != nil {
		t.Fatal(err)
	}
	for _, tail := range []int{-1, 10} {
		var got bytes.Buffer
		for m, err := range r.Read(t.Context(), logdriver.ReadConfig{Tail: tail}) {
			if err != nil {
				t.Fatal(err)
			}
			got.Write(append(m.Line, ' '))
		}
		if got.String() != "one two two two " {
			t.Errorf("tail %d: got %q", tail, got.String())
		}
	}
}

// FuzzDecode checks that nothing crashes, and that what is read is written again with the same meaning.
func FuzzDecode(f *testing.F) {
	format1 := &format{attrs: encodeAttrs([]logdriver.Attr{{Key: "a", Value: "b"}})}
	_, record, _ := format1.Split(format1.Append(nil, &logdriver.Message{Line: []byte("hi"), Source: "stdout", Time: time.Unix(1, 2), PartialID: "x"}))
	f.Add(record)
	f.Add([]byte("\x10\x01\x1a\x02hi"))
	f.Fuzz(func(t *testing.T, record []byte) {
		var m, again logdriver.Message
		if !(&format{}).Decode(record, &m) {
			return
		}
		out := &format{attrs: encodeAttrs(m.Attrs)}
		_, written, err := out.Split(out.Append(nil, &m))
		if err != nil || !(&format{}).Decode(written, &again) {
			t.Fatalf("%+v is not read again: %v", m, err)
		}
		if !bytes.Equal(m.Line, again.Line) || m.Source != again.Source || !m.Time.Equal(again.Time) || m.Partial != again.Partial ||
			len(m.Attrs) != len(again.Attrs) {
			t.Fatalf("read %+v, then %+v", m, again)
		}
	})
}

// FuzzFile opens any bytes as a log, for reading from both ends and for appending.
func FuzzFile(f *testing.F) {
	format1 := &format{}
	m := logdriver.Message{Line: []byte("hi"), Source: "stdout", Time: time.Unix(1, 2)}
	whole := format1.Append(nil, &m)
	f.Add(whole)
	f.Add(whole[:len(whole)-2])
	f.Add(append(make([]byte, 64), whole...))
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		directory := t.TempDir()
		if err := os.WriteFile(filepath.Join(directory, fileName), data, 0o600); err != nil {
			t.Fatal(err)
		}
		info := logdriver.Info{Path: directory}
		count := func(tail int) (n int, last string) {
			r, err := OpenReader(info)
			if err != nil {
				t.Fatal(err)
			}
			for m, err := range r.Read(t.Context(), logdriver.ReadConfig{Tail: tail}) {
				if err == nil {
					n++
					last = string(m.Line)
				}
			}
			return n, last
		}
		before, _ := count(-1)
		w, err := Open(info)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Log(&logdriver.Message{Line: []byte("appended"), Source: "stdout", Time: time.Unix(3, 0)}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		// Damage in the middle hides what follows from who reads forwards; from behind it is there.
		if n, last := count(1); n != 1 || last != "appended" {
			t.Fatalf("tail is %d messages, the last one %q", n, last)
		}
		if after, _ := count(-1); after < before {
			t.Fatalf("%d messages, and %d after appending", before, after)
		}
	})
}

var _ logfile.Format = (*format)(nil)
