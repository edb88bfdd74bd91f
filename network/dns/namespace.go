package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// namespace is the sandbox's network namespace. A socket belongs for ever to the one that its thread was in when it was made.
type namespace struct{ file *os.File }

func openNamespace(path string) (*namespace, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return &namespace{f}, nil
}

func (n *namespace) close() error { return n.file.Close() }

// do runs fn on a thread that is in the namespace, and that ends then: going back could fail.
func (n *namespace) do(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		result <- fn()
	}()
	return <-result
}

// listen opens both sockets.
func (n *namespace) listen(wanted Ports) (packets net.PacketConn, stream net.Listener, err error) {
	err = n.do(func() error {
		var c net.ListenConfig
		ctx := context.Background()
		if packets, err = c.ListenPacket(ctx, "udp4", net.JoinHostPort(Address, strconv.Itoa(int(wanted.UDP)))); err != nil {
			return err
		}
		if stream, err = c.Listen(ctx, "tcp4", net.JoinHostPort(Address, strconv.Itoa(int(wanted.TCP)))); err != nil {
			return errors.Join(err, packets.Close())
		}
		return nil
	})
	return packets, stream, err
}

// dial makes the socket in the namespace; the thread waits until it is connected, which for UDP is at once.
func (n *namespace) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = n.do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
