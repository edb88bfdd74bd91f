// Package fdpass sends messages with open descriptors over a Unix socket.
package fdpass

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// MaxFiles is how many descriptors one message can carry: SCM_MAX_FD, unix(7).
const MaxFiles = 253

// Send writes one message with files attached. The files stay open here. On a
// SOCK_SEQPACKET socket the message arrives whole.
func Send(conn *net.UnixConn, msg []byte, files ...*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := conn.WriteMsgUnix(msg, rights, nil)
	if err == nil && n < len(msg) {
		return fmt.Errorf("sent %d of %d bytes", n, len(msg))
	}
	return err
}

// Receive reads one message into buf and returns its length and descriptors,
// which the caller owns. They are close-on-exec. Errors: io.EOF when the peer
// is gone; a message larger than buf, or with more files than a message can have.
func Receive(conn *net.UnixConn, buf []byte) (n int, files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(MaxFiles*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return 0, nil, err
	}
	files, err = parse(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("message is longer than %d bytes or carries too many files", len(buf))
	}
	if err != nil {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
		return 0, nil, err
	}
	return n, files, nil
}

func parse(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

// Number is the descriptor's number, without what os.File.Fd does to its mode: a descriptor that goroutines wait for stays
// non-blocking. The caller keeps f alive.
func Number(f *os.File) (number int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(fd uintptr) { number = int(fd) })
	return number, err
}
