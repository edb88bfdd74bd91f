package network

import (
	"net"
	"strings"
	"testing"
	"time"
)

func TestPublishedPortIsReachedFromEverywhere(t *testing.T) {
	l := newLab(t)
	sb := l.connect(t, request(t, "web", "8080:80/tcp"))
	serve(t, sb.Key, ":80", "web")
	peer := l.connect(t, request(t, "peer"))
	address := sb.Endpoints["bridge"].IPAddress.String()
	for name, c := range map[string]struct{ from, to, seenAs string }{
		"outside":            {neighbourKey, hostAddress + ":8080", neighbourAddress},
		"loopback":           {"", "127.0.0.1:8080", ""},
		"host's own address": {"", hostAddress + ":8080", ""},
		"IPv6 loopback":      {"", "[::1]:8080", ""},
		"itself":             {sb.Key, hostAddress + ":8080", ""},
		"itself by gateway":  {sb.Key, "172.17.0.1:8080", ""},
		"peer by host":       {peer.Key, hostAddress + ":8080", ""},
		"peer directly":      {peer.Key, address + ":80", peer.Endpoints["bridge"].IPAddress.String()},
		"host directly":      {"", address + ":80", ""},
	} {
		t.Run(name, func(t *testing.T) {
			who, seenAs, err := ask(t, c.from, c.to)
			if err != nil || who != "web" || c.seenAs != "" && seenAs != c.seenAs {
				t.Fatalf("%q seen as %q, %v", who, seenAs, err)
			}
		})
	}
}

func impatient(d *net.Dialer) { d.Timeout = 300 * time.Millisecond }

func TestStrangersAreKeptOut(t *testing.T) {
	l := newLab(t)
	sb := l.connect(t, request(t, "web", "127.0.0.1:8080:80/tcp", "8081:81/tcp"))
	serve(t, sb.Key, ":80", "web")
	address := sb.Endpoints["bridge"].IPAddress.String()
	if who, _, err := ask(t, "", "127.0.0.1:8080"); who != "web" {
		t.Fatal(err)
	}
	for _, to := range []string{hostAddress + ":8080", address + ":80", "172.17.0.1:8080"} {
		if who, _, err := ask(t, neighbourKey, to, impatient); err == nil {
			t.Errorf("%s answers %q", to, who)
		}
	}
}

func TestPortsConflict(t *testing.T) {
	l := newLab(t)
	l.connect(t, request(t, "one", "8080:80/tcp"))
	_, err := l.Connect(t.Context(), request(t, "two", "8080:80/tcp"))
	if err == nil || !strings.Contains(err.Error(), "Bind for 0.0.0.0:8080 failed: port is already allocated") {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", "0.0.0.0:8081")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = l.Connect(t.Context(), request(t, "two", "8081:80/tcp"))
	if err == nil || !strings.Contains(err.Error(), "failed to bind host port for 0.0.0.0:8081:172.17.0.") ||
		!strings.Contains(err.Error(), ":80/tcp: address already in use") {
		t.Fatal(err)
	}
	l.disconnect(t, "one")
	l.connect(t, request(t, "two", "8080:80/tcp"))
}
