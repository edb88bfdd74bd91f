package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"gantry/internal/fdpass"

	"golang.org/x/sys/unix"
)

// packetSize is the longest packet: far below what a socket's buffer takes by default (wmem_default).
const packetSize = 32 << 10

// messageSize is the longest message: what a process could be made to keep in memory.
const messageSize = 64 << 20

// Conn sends and receives messages. Send is safe for concurrent use; Receive is for one goroutine.
type Conn struct {
	socket *net.UnixConn
	buf    []byte
	once   sync.Once
}

// NewConn wraps a SOCK_SEQPACKET socket and owns it.
func NewConn(socket *net.UnixConn) *Conn {
	return &Conn{socket: socket, buf: make([]byte, packetSize)}
}

// Dial connects to a supervisor's socket.
func Dial(path string) (*Conn, error) {
	socket, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	return NewConn(socket), nil
}

// FileConn wraps a connected socket that came as a descriptor. The file is closed.
func FileConn(f *os.File) (*Conn, error) {
	c, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	socket, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("descriptor is not a Unix socket"), c.Close())
	}
	return NewConn(socket), nil
}

// Close ends the connection; a Receive that waits returns.
func (c *Conn) Close() (err error) {
	c.once.Do(func() { err = c.socket.Close() })
	return err
}

// Send sends a message. The files stay open here.
func (c *Conn) Send(m Message, files ...*os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(data) <= packetSize {
		return fdpass.Send(c.socket, data, files...)
	}
	return c.sendSpilt(data, files)
}

func (c *Conn) sendSpilt(data []byte, files []*os.File) error {
	fd, err := unix.MemfdCreate("message", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	spill := os.NewFile(uintptr(fd), "message")
	_, err = spill.Write(data)
	if err == nil {
		err = fdpass.Send(c.socket, []byte(`{"spilt":true}`), append([]*os.File{spill}, files...)...)
	}
	return errors.Join(err, spill.Close())
}

// Receive returns the next message and its descriptors, which the caller owns. io.EOF tells that the
// peer is gone.
func (c *Conn) Receive() (m Message, files []*os.File, err error) {
	n, files, err := fdpass.Receive(c.socket, c.buf)
	if err != nil {
		return m, nil, err
	}
	if n == 0 {
		return m, nil, errors.Join(io.EOF, CloseAll(files))
	}
	if err = json.Unmarshal(c.buf[:n], &m); err == nil && m.Spilt {
		m, files, err = readSpilt(files)
	}
	if err != nil {
		return m, nil, errors.Join(fmt.Errorf("message of supervisor protocol: %w", err), CloseAll(files))
	}
	return m, files, nil
}

func readSpilt(files []*os.File) (m Message, rest []*os.File, err error) {
	if len(files) == 0 {
		return m, nil, errors.New("long message without a descriptor")
	}
	st, err := files[0].Stat()
	if err != nil {
		return m, files, err
	}
	if st.Size() > messageSize {
		return m, files, fmt.Errorf("%d bytes is more than %d", st.Size(), messageSize)
	}
	data := make([]byte, st.Size())
	if _, err := files[0].ReadAt(data, 0); err != nil {
		return m, files, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, files, err
	}
	return m, files[1:], files[0].Close()
}

// CloseAll closes files and joins the errors.
func CloseAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Body makes the body of a message. It panics on a type that JSON cannot hold: a mistake in the program.
func Body(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
