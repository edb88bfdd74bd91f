package ports

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"gantry/network/firewall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// socket holds a port of the host.
type socket struct {
	tcp   net.Listener
	udp   *net.UDPConn
	raw   int // a socket that does nothing, -1 for none
	ended sync.WaitGroup
	stop  context.CancelFunc
}

// reserve binds. With forward, what comes to the socket goes to the container; without, it is dropped unanswered.
func reserve(ctx context.Context, p firewall.Port, forward bool) (*socket, error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &socket{raw: -1, stop: stop}
	var err error
	switch p.Protocol {
	case "tcp":
		err = s.listen(ctx, p, forward)
	case "udp":
		err = s.receive(ctx, p, forward)
	default:
		err = s.bindSCTP(p)
	}
	if err != nil {
		stop()
		return nil, cause(err)
	}
	return s, nil
}

// cause leaves the system's words alone: "address already in use".
func cause(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

func (s *socket) listen(ctx context.Context, p firewall.Port, forward bool) (err error) {
	if !forward {
		// Bound without SO_REUSEADDR, a socket need not listen to keep others away: they are refused, and a port costs a tenth.
		if s.raw, err = bound(p, unix.IPPROTO_TCP); !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
		// A listener tells a port that is in use from one where connections of the last user linger, tcp(7).
	}
	s.tcp, err = config(p, forward).Listen(ctx, family("tcp", p), p.Host.String())
	if err == nil && forward {
		s.ended.Go(func() { forwardTCP(ctx, s.tcp, p.To) })
	}
	return err
}

func (s *socket) receive(ctx context.Context, p firewall.Port, forward bool) error {
	conn, err := config(p, forward).ListenPacket(ctx, family("udp", p), p.Host.String())
	if err != nil {
		return err
	}
	s.udp = conn.(*net.UDPConn)
	if forward {
		s.ended.Go(func() { forwardUDP(ctx, s.udp, p.To) })
	}
	return nil
}

// bindSCTP holds the port where the kernel has the protocol; where it has not, nobody else can have it either.
func (s *socket) bindSCTP(p firewall.Port) (err error) {
	s.raw, err = bound(p, unix.IPPROTO_SCTP)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) {
		return nil
	}
	return err
}

// bound returns a stream socket that has the port and does nothing, -1 with an error.
func bound(p firewall.Port, protocol int) (int, error) {
	family, addr := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(p.Host.Port()), Addr: p.Host.Addr().As16()})
	if p.Host.Addr().Is4() {
		family, addr = unix.AF_INET, &unix.SockaddrInet4{Port: int(p.Host.Port()), Addr: p.Host.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err := errors.Join(err, unix.Bind(fd, addr)); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// close frees the port and ends what is being forwarded.
func (s *socket) close() error {
	s.stop()
	var errs []error
	if s.tcp != nil {
		errs = append(errs, s.tcp.Close())
	}
	if s.udp != nil {
		errs = append(errs, s.udp.Close())
	}
	if s.raw >= 0 {
		errs = append(errs, os.NewSyscallError("close", unix.Close(s.raw)))
	}
	s.ended.Wait()
	return errors.Join(errs...)
}

// config makes sockets of one family that, unless they forward, drop whatever comes: a connection that the firewall has
// not led elsewhere must not be accepted by a queue that nobody reads.
func config(p firewall.Port, forward bool) *net.ListenConfig {
	c := &net.ListenConfig{KeepAlive: -1}
	c.SetMultipathTCP(false) // which takes two sockets for each
	if forward {
		return c
	}
	c.Control = func(_, _ string, conn syscall.RawConn) error {
		var err error
		ctlErr := conn.Control(func(fd uintptr) { err = dropAll(int(fd)) })
		return errors.Join(ctlErr, err)
	}
	return c
}

// dropAll attaches a socket filter that accepts no byte of any packet.
func dropAll(fd int) error {
	code, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
	if err != nil {
		return err
	}
	f := unix.SockFilter{Code: code[0].Op, K: code[0].K}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &f})
}

func family(protocol string, p firewall.Port) string {
	if p.Host.Addr().Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}
