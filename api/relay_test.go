package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"gantry/task"

	"github.com/moby/moby/api/types"
	"golang.org/x/sys/unix"
)

// processEnd is a process's stream as the supervisor gives it: one end of a socket pair.
type processEnd struct {
	*net.UnixConn
	detached atomic.Bool
	plain    bool // has no descriptor to splice with
}

func (p *processEnd) Detached() { p.detached.Store(true) }

func (p *processEnd) File() (*os.File, error) {
	if p.plain {
		return nil, errors.New("none")
	}
	return p.UnixConn.File()
}

// newStream returns a stream and the process at its other end.
func newStream(t testing.TB) (*processEnd, *net.UnixConn) {
	t.Helper()
	a, b := socketPair(t)
	return &processEnd{UnixConn: a}, b
}

func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := [2]*net.UnixConn{}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

// streaming is a route that connects a client with a stream.
func streaming(stream task.Stream, stdin bool, keys []byte) route {
	return route{"POST", "/stream", 0, func(w *response, r *request) error {
		c, release, err := hijack(w, r, streamMedia(keys != nil, r.version))
		if err != nil {
			return err
		}
		defer release()
		rl := &relay{client: c, stream: stream, stdin: stdin, keys: keys}
		r.server.streams.endWith(c.Conn, rl.stop)
		rl.run()
		return nil
	}}
}

// upgrade asks for the stream and returns what follows the header.
func upgrade(t testing.TB, c net.Conn, version, early string) *bufio.Reader {
	t.Helper()
	fmt.Fprintf(c, "POST /v%s/stream HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n%s", version, early)
	r, resp := answer(t, c)
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "tcp" || resp.Header.Get("Api-Version") == "" {
		t.Fatalf("%v %v", resp.Status, resp.Header)
	}
	return r
}

// answer reads the header of an answer; the reader has what follows.
func answer(t testing.TB, c io.Reader) (*bufio.Reader, *http.Response) {
	t.Helper()
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, resp
}

func TestHijackAnswers(t *testing.T) {
	for _, tc := range []struct {
		request, status string
		media           types.MediaType
	}{
		{"POST /v1.41/stream HTTP/1.1\r\nHost: d\r\n\r\n", "200 OK", types.MediaTypeRawStream},
		{"POST /v1.42/stream HTTP/1.1\r\nHost: d\r\n\r\n", "200 OK", types.MediaTypeRawStream},
		{"POST /v1.41/stream HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "101 UPGRADED", types.MediaTypeRawStream},
		{"POST /stream HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", "101 UPGRADED", types.MediaTypeMultiplexedStream},
	} {
		stream, process := newStream(t)
		s := open(t, Config{}, streaming(stream, false, nil))
		c := dialUnix(t, listen(t, s))
		io.WriteString(c, tc.request)
		process.Write([]byte("output"))
		process.Close()
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.Status != tc.status || resp.Header.Get("Content-Type") != tc.media {
			t.Errorf("%q: %v %v %v", tc.request, err, resp.Status, resp.Header)
			continue
		}
		rest, err := io.ReadAll(r)
		if err != nil || string(rest) != "output" {
			t.Errorf("%q: %q %v", tc.request, rest, err)
		}
	}
}

func TestStreamCarriesBothDirections(t *testing.T) {
	for _, network := range []string{"unix", "tcp", "tls"} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, plain %v", network, plain), func(t *testing.T) {
				stream, process := newStream(t)
				stream.plain = plain
				s := open(t, Config{}, streaming(stream, true, nil))
				c := dial(t, s, network)
				r := upgrade(t, c, "1.56", "early ")

				sent := make([]byte, 3<<20)
				rand.Read(sent)
				go func() {
					c.Write(sent)
					c.(interface{ CloseWrite() error }).CloseWrite()
				}()
				got, err := io.ReadAll(process)
				if err != nil || !bytes.Equal(got, append([]byte("early "), sent...)) {
					t.Fatalf("the process read %d bytes, %v", len(got), err)
				}
				go func() { // the client has closed its side: the other goes on
					process.Write(sent)
					process.Close()
				}()
				got, err = io.ReadAll(r)
				if err != nil || !bytes.Equal(got, sent) {
					t.Fatalf("the client read %d bytes, %v", len(got), err)
				}
			})
		}
	}
}

// dial serves on a network and connects to it.
func dial(t *testing.T, s *Server, network string) net.Conn {
	t.Helper()
	if network == "unix" {
		return dialUnix(t, listen(t, s))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, connect := l.Addr().String(), net.Dial
	if network == "tls" {
		pair := httptest.NewUnstartedServer(nil)
		pair.StartTLS() // for its certificate
		pair.Close()
		l = tls.NewListener(l, pair.TLS)
		connect = func(network, address string) (net.Conn, error) {
			return tls.Dial(network, address, &tls.Config{InsecureSkipVerify: true})
		}
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), []net.Listener{l}) }()
	t.Cleanup(func() { s.Close(context.Background()); <-served })
	c, err := connect("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A client that has nothing to say closes its side at once and still wants the output.
func TestOutputOutlivesTheClientsSide(t *testing.T) {
	for _, network := range []string{"unix", "tcp", "tls"} {
		stream, process := newStream(t)
		s := open(t, Config{}, streaming(stream, true, nil))
		c := dial(t, s, network)
		r := upgrade(t, c, "1.56", "")
		c.(interface{ CloseWrite() error }).CloseWrite()
		io.ReadAll(process) // its end has arrived
		process.Write([]byte("late"))
		process.Close()
		if got, err := io.ReadAll(r); string(got) != "late" || err != nil {
			t.Errorf("%s: %q %v", network, got, err)
		}
	}
}

func TestDetachKeysLeaveTheProcessAlone(t *testing.T) {
	stream, process := newStream(t)
	s := open(t, Config{}, streaming(stream, true, defaultDetachKeys))
	c := dialUnix(t, listen(t, s))
	r := upgrade(t, c, "1.56", "")
	c.Write([]byte("ls\x10x\x10\x11never"))
	got, _ := io.ReadAll(process) // ends because the stream is closed
	if string(got) != "ls\x10x" {
		t.Errorf("the process read %q", got)
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("%q %v", rest, err)
	}
	if !stream.detached.Load() {
		t.Error("the stream was not told")
	}
}

func TestDetachKeysAreInputWithoutTerminal(t *testing.T) {
	stream, process := newStream(t)
	s := open(t, Config{}, streaming(stream, true, nil))
	c := dialUnix(t, listen(t, s))
	upgrade(t, c, "1.56", "")
	c.Write([]byte("\x10\x11"))
	c.CloseWrite()
	if got, err := io.ReadAll(process); string(got) != "\x10\x11" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

// A client that has gone must not stay subscribed to a container that says nothing.
func TestStreamEndsWhenTheClientGoes(t *testing.T) {
	for _, stdin := range []bool{true, false} {
		for _, half := range []bool{true, false} {
			stream, process := newStream(t)
			s := open(t, Config{}, streaming(stream, stdin, nil))
			c := dialUnix(t, listen(t, s))
			upgrade(t, c, "1.56", "")
			if half {
				c.CloseWrite()
				if stdin { // it has arrived, so the rest is a change of its own
					io.ReadAll(process)
				}
			}
			c.Close()
			awaitClosed(t, process)
		}
	}
}

// awaitClosed returns when the other end of a socket pair is closed whole.
func awaitClosed(t *testing.T, c *net.UnixConn) {
	t.Helper()
	awaitHangup(c)
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("the stream is still open")
	}
}

func TestCloseEndsStreams(t *testing.T) {
	stream, process := newStream(t)
	s := open(t, Config{}, streaming(stream, true, nil))
	c := dialUnix(t, listen(t, s))
	r := upgrade(t, c, "1.56", "")
	s.Close(context.Background())
	awaitClosed(t, process)
	if _, err := io.ReadAll(r); err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
}

func TestPayloadsStripFrames(t *testing.T) {
	var b bytes.Buffer
	writeFrame(&b, 1, []byte("out"))
	writeFrame(&b, 2, nil)
	writeFrame(&b, 2, []byte("err"))
	b.Write([]byte{1, 0, 0}) // cut off
	got, err := io.ReadAll(&payloads{from: &b})
	if string(got) != "outerr" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestDetachKeysAreParsed(t *testing.T) {
	for text, want := range map[string]string{
		"": "\x10\x11", "a": "a", "ctrl-p,ctrl-q": "\x10\x11", "ctrl-@": "\x00", "ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_": "\x1b\x1c\x1d\x1e\x1f",
		"a,b,c": "abc", "DEL": "\x7f", "ctrl-z,Z": "\x1aZ",
	} {
		if got, err := parseDetachKeys(text); string(got) != want || err != nil {
			t.Errorf("%q: %q %v", text, got, err)
		}
	}
	for _, text := range []string{"ctrl-", "ctrl-P", "ctrl-aa", "shift-a", ",", "a,", "ctrl-p ctrl-q"} {
		if got, err := parseDetachKeys(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestDetachSequenceInAnyPieces(t *testing.T) {
	for _, tc := range []struct{ keys, in, out string }{
		{"ab", "xaby", "x"}, {"ab", "aab", "a"}, {"aab", "aaab", "a"}, {"abac", "ababac", "ab"}, {"ab", "a", "a"}, {"ab", "xa", "xa"}, {"a", "bca", "bc"}, {"ab", "acab", "ac"},
	} {
		for size := 1; size <= len(tc.in); size++ {
			r := &detachReader{from: &pieces{tc.in, size}, keys: []byte(tc.keys)}
			got, err := io.ReadAll(r)
			detached := strings.Contains(tc.in, tc.keys)
			if string(got) != tc.out || errors.Is(err, errDetached) != detached {
				t.Errorf("%q in %q by %d: %q %v", tc.keys, tc.in, size, got, err)
			}
		}
	}
}

type pieces struct {
	text string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.size, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}

func FuzzDetachKeys(f *testing.F) {
	f.Add("ctrl-p,ctrl-q", "abc\x10\x11d")
	f.Add("a,a,b", "aaaab")
	f.Fuzz(func(t *testing.T, text, in string) {
		keys, err := parseDetachKeys(text)
		if err != nil {
			return
		}
		got, err := io.ReadAll(&detachReader{from: strings.NewReader(in), keys: keys})
		before, _, found := strings.Cut(in, string(keys))
		if string(got) != before || errors.Is(err, errDetached) != found {
			t.Errorf("%q of %q: %q %v", keys, in, got, err)
		}
	})
}

// BenchmarkStream is the throughput of an attached container, inside the kernel and through this process.
func BenchmarkStream(b *testing.B) {
	for _, plain := range []bool{false, true} {
		b.Run(fmt.Sprintf("plain=%v", plain), func(b *testing.B) {
			stream, process := newStream(b)
			stream.plain = plain
			s := open(b, Config{}, streaming(stream, false, nil))
			r := upgrade(b, dialUnix(b, listen(b, s)), "1.56", "")
			chunk := make([]byte, 32<<10)
			b.SetBytes(int64(len(chunk)))
			go func() {
				for range b.N {
					process.Write(chunk)
				}
				process.Close()
			}()
			b.ResetTimer()
			io.Copy(io.Discard, struct{ io.Reader }{r})
		})
	}
}

func TestStreamsLeaveNoDescriptors(t *testing.T) {
	count := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	cycle := func() {
		a, process := socketPair(t)
		s := open(t, Config{}, streaming(&processEnd{UnixConn: a}, true, nil))
		c := dialUnix(t, listen(t, s))
		r := upgrade(t, c, "1.56", "")
		process.Write([]byte("out"))
		process.Close()
		io.ReadAll(r)
		c.Close()
		s.Close(context.Background())
	}
	cycle()
	before := count()
	for range 50 {
		cycle()
	}
	runtime.GC()
	runtime.GC() // pipes for splicing are pooled
	if after := count(); after > before+10 {
		t.Errorf("%d descriptors, %d after 50 streams", before, after)
	}
}
