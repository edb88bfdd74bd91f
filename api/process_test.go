package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"gantry/container/exec"
	"gantry/container/stdio"
	"gantry/logdriver"
	"gantry/task"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types"
	containertypes "github.com/moby/moby/api/types/container"
)

// fakeProcess is a container with one process, or an exec: what the rooms say of it is set by the test.
type fakeProcess struct {
	stream   task.Stream
	tty      bool
	logs     iter.Seq2[*logdriver.Message, error]
	refusal  error // of what comes before the takeover
	failure  error // of starting an exec
	keys     []byte
	attached stdio.AttachOptions
	read     stdio.LogsOptions
	started  containertypes.ExecStartRequest
}

func (f *fakeProcess) Attach(_ context.Context, _ string, o stdio.AttachOptions) (*stdio.Attached, error) {
	f.attached = o
	a := &stdio.Attached{Tty: f.tty, Stream: f.stream}
	if o.Logs {
		a.Logs = f.logs
	}
	return a, f.refusal
}

func (f *fakeProcess) Logs(_ context.Context, _ string, o stdio.LogsOptions) (iter.Seq2[*logdriver.Message, error], bool, error) {
	f.read = o
	return f.logs, f.tty, f.refusal
}

func (f *fakeProcess) Resize(context.Context, string, uint, uint) error { return f.refusal }

func (f *fakeProcess) Create(context.Context, string, containertypes.ExecCreateRequest) (string, error) {
	return sampleID, f.refusal
}

func (f *fakeProcess) Get(context.Context, string) (exec.Prepared, error) {
	return exec.Prepared{Tty: f.tty, Open: [3]bool{true, true, true}}, f.refusal
}

func (f *fakeProcess) Start(_ context.Context, _ string, r containertypes.ExecStartRequest) (task.Stream, error) {
	f.started = r
	if r.Detach || f.failure != nil {
		return nil, f.failure
	}
	return f.stream, nil
}

func (f *fakeProcess) Inspect(context.Context, string) (*containertypes.ExecInspectResponse, error) {
	return &containertypes.ExecInspectResponse{ID: sampleID, DetachKeys: f.keys}, f.refusal
}

func (f *fakeProcess) serve(t *testing.T) *Server {
	log := slog.New(slog.DiscardHandler)
	a, e := attachments{f, log}, execs{f, log}
	return open(t, Config{}, []route{
		{"POST", "/attach", 0, a.attach}, {"GET", "/ws", 0, a.attachWebSocket}, {"GET", "/logs", 0, a.logs}, {"POST", "/resize", 0, a.resize},
		{"POST", "/exec", 0, e.create}, {"POST", "/start", 0, e.start}, {"GET", "/exec", 0, e.inspect},
	}...)
}

func TestAttachSendsTheLogFirst(t *testing.T) {
	stream, process := newStream(t)
	f := &fakeProcess{stream: stream, logs: sequence(messagesOf("old"), nil)}
	c := dialUnix(t, listen(t, f.serve(t)))
	r, resp := post(t, c, "/attach?stream=1&stdout=1&stdin=true&logs=1", "")
	if resp.StatusCode != 101 || resp.Header.Get("Content-Type") != types.MediaTypeMultiplexedStream {
		t.Fatalf("%v", resp)
	}
	writeFrame(process, stdcopy.Stdout, []byte("new\n"))
	process.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, io.Discard, r); err != nil || out.String() != "old\nnew\n" {
		t.Errorf("%q %v", out.String(), err)
	}
	if want := (stdio.AttachOptions{Stdin: true, Stdout: true, Stream: true, Logs: true}); f.attached != want {
		t.Errorf("%+v", f.attached)
	}
}

// post sends a request that upgrades, with a JSON body unless it is empty.
func post(t *testing.T, c io.ReadWriter, target, body string) (io.Reader, *http.Response) {
	t.Helper()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
	return answer(t, c)
}

func TestAttachOfTheLogAlone(t *testing.T) {
	f := &fakeProcess{tty: true, logs: sequence(messagesOf("old"), nil)}
	r, resp := post(t, dialUnix(t, listen(t, f.serve(t))), "/attach?stdout=1&logs=1", "")
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "old\n" || resp.Header.Get("Content-Type") != types.MediaTypeRawStream {
		t.Errorf("%q %v %v", got, err, resp)
	}
}

func TestRefusalsComeBeforeTheTakeover(t *testing.T) {
	f := &fakeProcess{refusal: errdefs.ErrNotFound.WithMessage("No such container: x")}
	s := f.serve(t)
	for _, request := range []string{"POST /attach?stream=1", "POST /start", "GET /logs?stdout=1", "GET /ws", "POST /resize?h=1&w=1", "GET /exec"} {
		method, target, _ := strings.Cut(request, " ")
		w := ask(s, method, target, "", "Upgrade", "tcp")
		if w.Code != 404 || w.Body.String() != `{"message":"No such container: x"}`+"\n" {
			t.Errorf("%s: %d %s", request, w.Code, w.Body)
		}
	}
	if w := ask(s, "GET", "/ws", ""); w.Code != 400 {
		t.Errorf("a WebSocket without upgrade: %d %s", w.Code, w.Body)
	}
}

func TestExecCarriesItsProcess(t *testing.T) {
	stream, process := newStream(t)
	f := &fakeProcess{stream: stream}
	c := dialUnix(t, listen(t, f.serve(t)))
	r, resp := post(t, c, "/v1.41/start", `{"Detach":false,"Tty":false,"ConsoleSize":[3,4]}`+"\n")
	if resp.StatusCode != 101 || resp.Header.Get("Content-Type") != types.MediaTypeRawStream {
		t.Fatalf("%v", resp)
	}
	c.Write([]byte("input"))
	in := make([]byte, 5)
	if _, err := io.ReadFull(process, in); err != nil || string(in) != "input" {
		t.Errorf("%q %v", in, err)
	}
	process.Close()
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
	if f.started.ConsoleSize != nil {
		t.Error("1.41 had no console size")
	}
}

// The CLI expects the upgrade, whatever becomes of the process.
func TestExecThatDoesNotStartSaysSoInItsStream(t *testing.T) {
	for _, tty := range []bool{false, true} {
		f := &fakeProcess{tty: tty, failure: errdefs.ErrInvalidArgument.WithMessage("exec: \"nosuch\": executable file not found in $PATH\n")}
		r, resp := post(t, dialUnix(t, listen(t, f.serve(t))), "/start", "{}")
		if resp.StatusCode != 101 {
			t.Fatalf("%v", resp)
		}
		var out bytes.Buffer
		if tty {
			io.Copy(&out, r)
		} else if _, err := stdcopy.StdCopy(&out, io.Discard, r); err != nil {
			t.Fatal(err)
		}
		if out.String() != "exec: \"nosuch\": executable file not found in $PATH\r\n" {
			t.Errorf("%q", out.String())
		}
	}
}

func TestDetachedExecAnswersAtOnce(t *testing.T) {
	f := &fakeProcess{}
	if w := ask(f.serve(t), "POST", "/start", `{"Detach":true}`); w.Code != 200 || w.Body.Len() > 0 || !f.started.Detach {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	f.failure = errdefs.ErrInvalidArgument.WithMessage("executable file not found")
	if w := ask(f.serve(t), "POST", "/start", `{"Detach":true}`); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestExecHasItsOwnDetachKeys(t *testing.T) {
	stream, process := newStream(t)
	f := &fakeProcess{stream: stream, tty: true, keys: []byte("qq")}
	c := dialUnix(t, listen(t, f.serve(t)))
	post(t, c, "/start", `{"Tty":true}`)
	c.Write([]byte("\x10\x11qaqq"))
	got, _ := io.ReadAll(process)
	if string(got) != "\x10\x11qa" || !stream.detached.Load() {
		t.Errorf("%q", got)
	}
}

func TestLogOptions(t *testing.T) {
	f := &fakeProcess{logs: sequence(messagesOf("a", "err:b"), nil)}
	s := f.serve(t)
	w := ask(s, "GET", "/logs?stdout=1&stderr=1&tail=5&since=7.5&until=9", "")
	var out, errs bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &errs, w.Body); err != nil || out.String() != "a\n" || errs.String() != "b\n" {
		t.Errorf("%q %q %v", out.String(), errs.String(), err)
	}
	want := stdio.LogsOptions{Stdout: true, Stderr: true, Tail: 5, Since: time.Unix(7, 500000000), Until: time.Unix(9, 0)}
	if !reflect.DeepEqual(f.read, want) || w.Header().Get("Content-Type") != types.MediaTypeMultiplexedStream {
		t.Errorf("%+v %v", f.read, w.Header())
	}
	w = ask(s, "GET", "/v1.34/logs?stdout=1&until=9&tail=all", "")
	if !f.read.Until.IsZero() || f.read.Tail != -1 || w.Header().Get("Content-Type") != types.MediaTypeRawStream {
		t.Errorf("%+v %v", f.read, w.Header())
	}
	if ask(s, "GET", "/logs?stdout=1&until=0", ""); !f.read.Until.IsZero() {
		t.Errorf("%+v", f.read)
	}
}
