package dns

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// patience is how long a server outside may take to answer before the next one is asked: less than the 5 s that the resolver
// libraries wait for us.
const patience = 4 * time.Second

// forward asks the servers outside, one after the other until one has an answer: a server that fails or refuses is not the end.
func (h handler) forward(t *Table, q *dns.Msg) *dns.Msg {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default: // a flood: who asks again is answered then
		return failed(q, dns.RcodeServerFailure)
	}
	var last *dns.Msg
	for _, server := range t.Upstream {
		reply, err := h.exchange(server, q)
		if err != nil {
			continue
		}
		reply.Id = q.Id
		last = reply
		if reply.Rcode != dns.RcodeServerFailure && reply.Rcode != dns.RcodeRefused {
			return reply
		}
	}
	if last != nil {
		return last
	}
	return failed(q, dns.RcodeServerFailure)
}

// exchange asks one server, by the transport by which the query came. Servers on the host's loopback are asked from the host, all
// others from the sandbox, whose routes may lead where the host's do not.
func (h handler) exchange(server netip.AddrPort, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(h.ctx, patience)
	defer cancel()
	conn, err := h.dial(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // nothing is lost: the exchange is over
	out := q.Copy()
	out.Id = dns.Id() // not the client's choice: it is half of what protects the answer
	client := dns.Client{Net: h.network, Timeout: patience, UDPSize: maxDatagram}
	reply, _, err := client.ExchangeWithConnContext(ctx, out, &dns.Conn{Conn: conn, UDPSize: maxDatagram})
	return reply, err
}

func (h handler) dial(ctx context.Context, server netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{}
	if server.Addr().IsLoopback() {
		return d.DialContext(ctx, h.network, server.String())
	}
	return h.space.dial(ctx, h.network, server.String())
}
