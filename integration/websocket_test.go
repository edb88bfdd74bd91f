package integration

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestAttachByWebsocket(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("ws")
	d.Docker("create", "-i", "--name", name, "busybox", "sh", "-c", "read x; echo got $x")
	start(d, name)
	httpClient := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.Socket())
		},
	}}
	// No Origin, no subprotocol: a browser sends both, tools send neither.
	conn, resp, err := websocket.Dial(d.Context(), "ws://docker/v1.41/containers/"+name+"/attach/ws?stream=1&stdin=1&stdout=1",
		&websocket.DialOptions{HTTPClient: httpClient, HTTPHeader: http.Header{"Origin": {"http://docker"}}})
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	equal(t, "status", resp.StatusCode, http.StatusSwitchingProtocols)
	if err := conn.Write(d.Context(), websocket.MessageText, []byte("it\n")); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for !strings.Contains(text.String(), "got it\n") {
		_, data, err := conn.Read(d.Context())
		if err != nil {
			t.Fatalf("read: %v, after %q", err, text.String())
		}
		text.Write(data)
	}
	_ = conn.CloseNow()
}
