package api

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	containertypes "github.com/moby/moby/api/types/container"
)

// A client may start the container once it has the header: the wait is armed by then.
func TestWaitSendsItsHeaderFirst(t *testing.T) {
	result := make(chan containertypes.WaitResponse)
	s := open(t, Config{}, route{"POST", "/wait", 0, func(w *response, r *request) error {
		return sendWait(r.Context(), w, result, r.version)
	}})
	path := listen(t, s)
	for _, tc := range []struct{ version, want string }{
		{"1.56", `{"Error":{"Message":"gone"},"StatusCode":7}` + "\n"}, {"1.33", `{"StatusCode":7}` + "\n"}, {"1.29", `{"StatusCode":7}` + "\n"},
	} {
		c := dialUnix(t, path)
		fmt.Fprintf(c, "POST /v%s/wait HTTP/1.1\r\nHost: d\r\n\r\n", tc.version)
		ended := containertypes.WaitResponse{StatusCode: 7, Error: &containertypes.WaitExitError{Message: "gone"}}
		r := bufio.NewReader(c)
		if tc.version == "1.29" { // waits for the result to answer at all
			result <- ended
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%v %v", resp, err)
		}
		if tc.version != "1.29" {
			result <- ended
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != tc.want {
			t.Errorf("%s: %q %v", tc.version, body, err)
		}
	}
}

func TestWaitConditionsOfOldVersions(t *testing.T) {
	for _, tc := range []struct {
		minor       int
		query, want string
	}{
		{56, "", "not-running"}, {56, "condition=removed", "removed"}, {30, "condition=next-exit", "next-exit"}, {29, "condition=next-exit", "not-running"},
		{41, "condition=whatever", "not-running"},
	} {
		r := newRequest("POST", "/x?"+tc.query, tc.minor)
		if got, err := waitCondition(r); err != nil || string(got) != tc.want {
			t.Errorf("%+v: %s %v", tc, got, err)
		}
	}
}

func newRequest(method, target string, minor int) *request {
	h, _ := http.NewRequest(method, target, strings.NewReader(""))
	r := &request{Request: h, version: v(minor)}
	r.prepare(nil)
	return r
}
