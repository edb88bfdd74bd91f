package ports

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Limits of forwarding: how long a container may take to answer, how long a datagram's sender is remembered, the
// largest datagram (RFC 768); and how many connections and senders a port has, so that a flood of one leaves the
// process descriptors and memory.
const (
	dialTimeout    = 30 * time.Second
	udpIdle        = 90 * time.Second
	datagramSize   = 64 << 10
	maxConnections = 8192
	maxSenders     = 256
)

// forwardTCP passes connections on until the listener is closed; it returns when all of them have ended. Ending ctx ends them.
func forwardTCP(ctx context.Context, l net.Listener, to netip.AddrPort) {
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		select {
		case slots <- struct{}{}: // before accepting: the kernel keeps the others waiting
		case <-ctx.Done():
			return
		}
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			<-slots
			select { // out of descriptors, most likely
			case <-ctx.Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		open.Go(func() {
			passTCP(ctx, conn.(*net.TCPConn), to)
			<-slots
		})
	}
}

func passTCP(ctx context.Context, client *net.TCPConn, to netip.AddrPort) {
	defer client.Close()
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		_ = client.SetLinger(0) // so that the client is refused, not sent an empty answer
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	defer context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })()
	var both sync.WaitGroup
	both.Go(func() { copyHalf(server, client) })
	both.Go(func() { copyHalf(client, server) })
	both.Wait()
}

// copyHalf passes one direction on, its end included.
func copyHalf(dst, src *net.TCPConn) {
	_, err := io.Copy(dst, src)
	if err != nil {
		_ = dst.Close()
		return
	}
	_ = dst.CloseWrite()
	_ = src.CloseRead()
}

// forwardUDP passes datagrams on, and the answers back to whoever sent them, until front is closed.
func forwardUDP(ctx context.Context, front *net.UDPConn, to netip.AddrPort) {
	ctx, stop := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer stop()
	known := senders{backs: map[netip.AddrPort]*net.UDPConn{}}
	buf := make([]byte, datagramSize)
	for {
		n, sender, err := front.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil {
			continue
		}
		back := known.find(sender)
		if back == nil {
			if back, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)); err != nil {
				continue
			}
			known.add(sender, back)
			open.Go(func() {
				answerUDP(ctx, front, back, sender)
				known.remove(sender, back)
			})
		}
		_, _ = back.Write(buf[:n]) // datagrams may be lost
	}
}

// senders are those whose answers are awaited, each with the socket that they come to. Safe for concurrent use.
type senders struct {
	mu    sync.Mutex // guards backs
	backs map[netip.AddrPort]*net.UDPConn
}

func (s *senders) find(sender netip.AddrPort) *net.UDPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backs[sender]
}

// add forgets another sender, whichever, if there are too many: a flood of made-up ones must not lock out the others.
func (s *senders) add(sender netip.AddrPort, back *net.UDPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, socket := range s.backs {
		if len(s.backs) < maxSenders {
			break
		}
		_ = socket.Close() // which ends its answering
		delete(s.backs, other)
	}
	s.backs[sender] = back
}

func (s *senders) remove(sender netip.AddrPort, back *net.UDPConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backs[sender] == back {
		delete(s.backs, sender)
	}
}

// answerUDP passes answers back until there has been none for a while.
func answerUDP(ctx context.Context, front, back *net.UDPConn, sender netip.AddrPort) {
	defer back.Close()
	defer context.AfterFunc(ctx, func() { _ = back.Close() })()
	buf := make([]byte, datagramSize)
	for {
		if err := back.SetReadDeadline(time.Now().Add(udpIdle)); err != nil {
			return
		}
		n, err := back.Read(buf)
		if err != nil {
			return
		}
		_, _ = front.WriteToUDPAddrPort(buf[:n], sender)
	}
}
