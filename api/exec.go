package api

import (
	"errors"
	"log/slog"
	"strings"

	"github.com/moby/moby/api/pkg/stdcopy"
	containertypes "github.com/moby/moby/api/types/container"
)

// execs runs further processes in containers.
type execs struct {
	svc executor
	log *slog.Logger
}

// execBody is a container.ExecCreateRequest whose command may be one string.
type execBody struct {
	containertypes.ExecCreateRequest
	Cmd words
}

func (e execs) create(w *response, r *request) error {
	body, err := decodeExec(w, r)
	if err != nil {
		return err
	}
	id, err := e.svc.Create(r.Context(), r.id(), body)
	if err != nil {
		return err
	}
	return created(w, containertypes.ExecCreateResponse{ID: id})
}

// decodeExec reads the request and drops what its version has no name for. Errors: invalid argument.
func decodeExec(w *response, r *request) (containertypes.ExecCreateRequest, error) {
	var body execBody
	if err := r.decode(w, &body); err != nil {
		return body.ExecCreateRequest, err
	}
	req := body.ExecCreateRequest
	req.Cmd = body.Cmd
	if len(req.Cmd) == 0 {
		return req, invalid("No exec command specified")
	}
	if req.DetachKeys != "" {
		keys, err := parseDetachKeys(req.DetachKeys)
		if err != nil {
			return req, invalid("Invalid escape keys (%s) provided", req.DetachKeys)
		}
		req.DetachKeys = string(keys) // what inspect shows, and start looks for
	}
	if r.version.before(42) {
		req.ConsoleSize = nil
	}
	if r.version.before(35) {
		req.WorkingDir = ""
	}
	if r.version.before(25) {
		req.Env = nil
	}
	return req, nil
}

// start runs the process. Attached, its output follows on the same connection; so does what keeps it
// from running, because clients expect the upgrade before that.
func (e execs) start(w *response, r *request) error {
	var req containertypes.ExecStartRequest
	if err := r.decode(w, &req); err != nil {
		return err
	}
	if r.version.before(42) {
		req.ConsoleSize = nil
	}
	prepared, err := e.svc.Get(r.Context(), r.id())
	if err != nil {
		return err
	}
	if req.Detach {
		_, err := e.svc.Start(r.Context(), r.id(), req)
		return err
	}
	var keys []byte
	if prepared.Tty {
		keys = e.keys(r)
	}
	stream, failed := e.svc.Start(r.Context(), r.id(), req)
	if stream != nil {
		defer stream.Close()
	}
	c, release, err := hijack(w, r, streamMedia(prepared.Tty, r.version))
	if err != nil {
		return errors.Join(failed, err)
	}
	defer release()
	if failed != nil {
		e.log.Error("exec did not start", "exec", r.id(), "error", failed)
		tell(c, prepared.Tty, failed)
		return nil
	}
	rl := &relay{client: c, stream: stream, stdin: prepared.Open[0], keys: keys}
	r.server.streams.endWith(c.Conn, rl.stop)
	rl.run()
	return nil
}

// keys are those that the exec was created with.
func (e execs) keys(r *request) []byte {
	if found, err := e.svc.Inspect(r.Context(), r.id()); err == nil && len(found.DetachKeys) > 0 {
		return found.DetachKeys
	}
	return defaultDetachKeys
}

// tell writes an error where the process's output was expected.
func tell(c *peer, tty bool, err error) {
	text := strings.TrimRight(err.Error(), "\r\n") + "\r\n"
	if tty {
		c.Write([]byte(text))
		return
	}
	writeFrame(c, stdcopy.Stdout, []byte(text))
}

func (e execs) resize(w *response, r *request) error {
	height, width, err := terminalSize(r)
	if err != nil {
		return err
	}
	return e.svc.Resize(r.Context(), r.id(), height, width)
}

func (e execs) inspect(w *response, r *request) error {
	found, err := e.svc.Inspect(r.Context(), r.id())
	if err != nil {
		return err
	}
	return ok(w, found)
}
