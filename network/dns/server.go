package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Address is where containers find their resolver: what dockerd has always used, and what is in containers' resolv.conf.
const Address = "127.0.0.11"

const (
	// maxDatagram is the largest UDP message that is sent to who says that he can take it: what passes Ethernet unfragmented (DNS flag day 2020).
	maxDatagram = 1232
	// maxParallel bounds the queries of one sandbox that wait for an answer from outside.
	maxParallel = 256
	// idleConnection is how long a TCP connection may send nothing.
	idleConnection = 8 * time.Second
)

// Ports are where a server listens at Address, in the sandbox's namespace.
type Ports struct {
	UDP uint16 `json:"udp"`
	TCP uint16 `json:"tcp"`
}

// Server answers the queries of one sandbox. Safe for concurrent use.
type Server struct {
	table  atomic.Pointer[Table]
	space  *namespace
	slots  chan struct{} // one for each query that is forwarded
	udp    *dns.Server
	tcp    *dns.Server
	ports  Ports
	ended  chan error // of both servers
	ctx    context.Context
	cancel context.CancelFunc
}

// Open listens in the network namespace at a path. Ports that are 0 are the kernel's choice: port 53 is the workload's, a resolver
// that runs in a container must be able to bind it. Package redirect leads queries here.
func Open(netns string, table Table, wanted Ports) (_ *Server, err error) {
	s := &Server{slots: make(chan struct{}, maxParallel), ended: make(chan error, 2)}
	s.table.Store(&table)
	if s.space, err = openNamespace(netns); err != nil {
		return nil, err
	}
	packets, stream, err := s.space.listen(wanted)
	if err != nil {
		return nil, errors.Join(err, s.space.close())
	}
	s.ports = Ports{UDP: portOf(packets.LocalAddr()), TCP: portOf(stream.Addr())}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.udp = &dns.Server{PacketConn: packets, Handler: handler{s, "udp"}, UDPSize: maxDatagram}
	s.tcp = &dns.Server{Listener: stream, Handler: handler{s, "tcp"}, IdleTimeout: func() time.Duration { return idleConnection }}
	for _, server := range []*dns.Server{s.udp, s.tcp} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { s.ended <- server.ActivateAndServe() }()
		<-started
	}
	return s, nil
}

func portOf(a net.Addr) uint16 {
	switch a := a.(type) {
	case *net.UDPAddr:
		return uint16(a.Port)
	case *net.TCPAddr:
		return uint16(a.Port)
	}
	return 0
}

// Ports says where it listens.
func (s *Server) Ports() Ports { return s.ports }

// Set replaces the table. Queries that are being answered keep the last one.
func (s *Server) Set(table Table) { s.table.Store(&table) }

// Close ends the server; queries that wait for an answer from outside get none.
func (s *Server) Close() error {
	s.cancel()
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	for range 2 {
		if ended := <-s.ended; ended != nil && !errors.Is(ended, net.ErrClosed) {
			err = errors.Join(err, ended)
		}
	}
	return errors.Join(err, s.space.close())
}

// handler answers queries that came by one transport.
type handler struct {
	*Server
	network string
}

// ServeDNS implements dns.Handler.
func (h handler) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	reply := h.reply(q)
	if reply == nil {
		return
	}
	if h.network == "udp" {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, min(int(opt.UDPSize()), maxDatagram))
		}
		reply.Truncate(size)
	}
	if err := w.WriteMsg(reply); err != nil {
		slog.Debug("answer to a name query was not sent", "error", err)
	}
}

// reply is nil for what deserves none.
func (h handler) reply(q *dns.Msg) *dns.Msg {
	switch {
	case q.Response:
		return nil
	case q.Opcode != dns.OpcodeQuery:
		return failed(q, dns.RcodeNotImplemented)
	case len(q.Question) != 1:
		return failed(q, dns.RcodeFormatError)
	}
	t := h.table.Load()
	if reply := t.answer(q); reply != nil {
		return reply
	}
	if !t.forwards() {
		return failed(q, dns.RcodeServerFailure)
	}
	return h.forward(t, q)
}
