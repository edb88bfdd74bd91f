package dns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// timeToLive of our own answers, in seconds: as dockerd's.
const timeToLive = 600

// answer is the reply to a query that the table can answer itself; nil for one that is to be forwarded. A name that is known but not for
// the address family asked for has an empty answer, so that resolvers do not look for it elsewhere.
func (t *Table) answer(q *dns.Msg) *dns.Msg {
	question := q.Question[0]
	if question.Qclass != dns.ClassINET {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	if question.Qtype == dns.TypePTR {
		return t.reverse(q, name)
	}
	addrs, known := t.find(name)
	if !known {
		return nil
	}
	reply := replyTo(q)
	for _, a := range shuffled(addrs) {
		header := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: timeToLive}
		switch {
		case a.Is4() && question.Qtype == dns.TypeA:
			header.Rrtype = dns.TypeA
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: a.AsSlice()})
		case a.Is6() && question.Qtype == dns.TypeAAAA:
			header.Rrtype = dns.TypeAAAA
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: a.AsSlice()})
		}
	}
	return reply
}

// find looks a name up in one network after the other; "name.network" is looked up in that network alone.
func (t *Table) find(name string) (addrs []netip.Addr, known bool) {
	for i := range t.Networks {
		if addrs, known := t.Networks[i].Records[name]; known {
			return addrs, true
		}
	}
	for i := range t.Networks {
		n := &t.Networks[i]
		if short, ok := strings.CutSuffix(name, "."+strings.ToLower(n.Name)); ok {
			if addrs, known := n.Records[short]; known {
				return addrs, true
			}
		}
	}
	return nil, false
}

// reverse answers a query by address.
func (t *Table) reverse(q *dns.Msg, name string) *dns.Msg {
	addr, ok := addressOf(name)
	if !ok {
		return nil
	}
	for i := range t.Networks {
		n := &t.Networks[i]
		host, known := n.Names[addr]
		if !known {
			continue
		}
		reply := replyTo(q)
		reply.Answer = []dns.RR{&dns.PTR{
			Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: timeToLive},
			Ptr: dns.Fqdn(host + "." + n.Name),
		}}
		return reply
	}
	return nil
}

// addressOf reads the names below in-addr.arpa and ip6.arpa, RFC 1035 3.5 and RFC 3596 2.5.
func addressOf(name string) (netip.Addr, bool) {
	if digits, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		parts := strings.Split(digits, ".")
		slices.Reverse(parts)
		a, err := netip.ParseAddr(strings.Join(parts, "."))
		return a, err == nil && a.Is4()
	}
	digits, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok || len(digits) != 63 {
		return netip.Addr{}, false
	}
	var text strings.Builder
	for i := len(digits) - 1; i >= 0; i -= 2 {
		if i < len(digits)-1 && digits[i+1] != '.' {
			return netip.Addr{}, false
		}
		text.WriteByte(digits[i])
		if n := (len(digits) - i + 1) / 2; n%4 == 0 && n < 32 {
			text.WriteByte(':')
		}
	}
	a, err := netip.ParseAddr(text.String())
	return a, err == nil
}

func shuffled(addrs []netip.Addr) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	out := slices.Clone(addrs)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// replyTo makes an empty reply, with EDNS where the query has it.
func replyTo(q *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	reply.RecursionAvailable = true
	if opt := q.IsEdns0(); opt != nil {
		reply.SetEdns0(maxDatagram, false)
	}
	return reply
}

// failed is a reply without an answer.
func failed(q *dns.Msg, code int) *dns.Msg {
	reply := replyTo(q)
	reply.Rcode = code
	return reply
}

// forwards reports whether unknown names may be asked for outside: an internal network must not leak them.
func (t *Table) forwards() bool {
	return slices.ContainsFunc(t.Networks, func(n Network) bool { return !n.Internal })
}
