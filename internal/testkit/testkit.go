// Package testkit runs a real engine for tests: gantryd from this tree, or dockerd as the reference.
//
// An Engine is a daemon with everything of its own: namespaces, data root, exec root, socket, pidfile, cgroup parent
// and docker CLI configuration. A Session is an engine as one test sees it: it fails that test, and removes the
// containers and images that the test named. A leak is anything that is still there after the last container of an
// engine is gone: processes, mounts, network interfaces, cgroups, firewall rules, descriptors, goroutines.
//
//	d := testkit.Start(t, testkit.Options{}).Session(t)
//	d.LoadBusybox()
//	out := d.Docker("run", "--rm", "busybox", "echo", "hello")
//
// GANTRY_TEST_ENGINE=dockerd runs the same tests against the dockerd that the machine has. It keeps the tests honest
// about what Docker does; tests of what is gantry's alone skip.
package testkit

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

// EngineEnv chooses the engine under test: "gantryd", the default, or "dockerd".
const EngineEnv = "GANTRY_TEST_ENGINE"

// Options say how an engine differs from the default.
type Options struct {
	Args   []string // further flags of the daemon
	Env    []string // further environment of the daemon, KEY=VALUE
	Config string   // content of daemon.json; "" for no file
	Engine string   // "gantryd" or "dockerd"; "" for what EngineEnv says
	// Unchecked leaves out the leak check, for tests that leave things behind on purpose.
	Unchecked bool
}

// Engine is one daemon and all that belongs to it. Safe for concurrent use, except for stopping and starting.
type Engine struct {
	Dir    string // everything below is in it
	Parent string // cgroup parent of its containers

	kind    kind
	options Options
	ns      *Namespaces
	client  *client.Client
	logFile *os.File

	mu       sync.Mutex // guards daemon, exited and took
	daemon   *exec.Cmd
	exited   chan struct{} // closed when daemon has been waited for
	took     time.Duration // from the last start to the first answer
	baseline footprint     // before the first container
}

// Start starts an engine that lives as long as the test, and checks at the end that it has left nothing.
func Start(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatalf("start engine: %v", err)
	}
	t.Cleanup(func() {
		err := e.Close()
		if err != nil {
			t.Errorf("close engine: %v", err)
		}
		if t.Failed() {
			t.Logf("log of the engine:\n%s", e.Log())
		}
		_ = os.RemoveAll(e.Dir)
	})
	return e
}

// New starts an engine that lives until Close. Most tests want Start.
func New(o Options) (*Engine, error) {
	e, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := e.start(nil); err != nil {
		return nil, errors.Join(err, fmt.Errorf("log of the engine:\n%s", e.Log()), e.ns.Close())
	}
	e.baseline = e.footprint()
	return e, nil
}

// prepare makes all but the daemon.
func prepare(o Options) (*Engine, error) {
	k, err := kindOf(o.Engine)
	if err != nil {
		return nil, err
	}
	nsinit, err := tool("internal/testkit/nsinit")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(realDir(), "gt-")
	if err != nil {
		return nil, err
	}
	e := &Engine{Dir: dir, Parent: "/gantrytest-" + randomHex(4), kind: k, options: o}
	if err := os.MkdirAll(e.Path("cli"), 0o700); err != nil {
		return nil, err
	}
	// An empty file is no configuration file, for either engine; but dockerd wants JSON.
	config := o.Config
	if config == "" {
		config = "{}"
	}
	if err := os.WriteFile(e.Path("daemon.json"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if e.logFile, err = os.OpenFile(e.Path("log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	if e.client, err = client.New(client.WithHost(e.Host())); err != nil {
		return nil, err
	}
	e.ns, err = newNamespaces(nsinit)
	return e, err
}

// Path is a path in the engine's directory.
func (e *Engine) Path(elem ...string) string {
	return filepath.Join(append([]string{e.Dir}, elem...)...)
}

// DataRoot is what --data-root says.
func (e *Engine) DataRoot() string { return e.Path("data") }

// ExecRoot is what --exec-root says.
func (e *Engine) ExecRoot() string { return e.Path("exec") }

// Socket is the path of the API socket; Host is its URL.
func (e *Engine) Socket() string { return e.Path("docker.sock") }

// Host is what DOCKER_HOST has to be.
func (e *Engine) Host() string { return "unix://" + e.Socket() }

// Reference says that the engine is dockerd, the reference, and not gantry.
func (e *Engine) Reference() bool { return e.kind.name == "dockerd" }

// Client is the API client of the engine. It negotiates its version.
func (e *Engine) Client() *client.Client { return e.client }

// Namespaces are what the engine lives in.
func (e *Engine) Namespaces() *Namespaces { return e.ns }

// Log is what the daemon has logged so far, its end if it is long.
func (e *Engine) Log() string {
	const limit = 64 << 10
	data, err := os.ReadFile(e.Path("log"))
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-limit):])
}

// Close stops the daemon, checks for leaks and removes the namespaces. The directory stays, for the log.
func (e *Engine) Close() error {
	var errs []error
	if !e.options.Unchecked && e.running() {
		errs = append(errs, e.checkLeaks())
	}
	if e.running() {
		errs = append(errs, e.Stop())
		if !e.options.Unchecked {
			errs = append(errs, e.checkLeftovers())
		}
	}
	_ = e.client.Close()
	_ = e.ns.Close() // killed on purpose
	errs = append(errs, e.removeCgroups(), e.logFile.Close())
	return errors.Join(errs...)
}

// kind is what differs between the engines.
type kind struct {
	name   string
	binary func() (string, error)
	args   []string
}

func kindOf(name string) (kind, error) {
	if name == "" {
		name = os.Getenv(EngineEnv)
	}
	switch name {
	case "", "gantryd":
		return kind{name: "gantryd", binary: gantryd}, nil
	case "dockerd":
		binary := func() (string, error) { return exec.LookPath("dockerd") }
		return kind{name: "dockerd", binary: binary, args: []string{"--storage-driver", "overlay2"}}, nil
	}
	return kind{}, fmt.Errorf("%s=%s: neither gantryd nor dockerd", EngineEnv, name)
}

// gantryd builds the daemon and what it expects beside it.
func gantryd() (string, error) {
	if _, err := tool("cmd/gantry-supervisor"); err != nil {
		return "", err
	}
	if root, err := moduleRoot(); err == nil {
		if _, err := os.Stat(filepath.Join(root, "cmd", "gantry-init")); err == nil {
			if _, err := tool("cmd/gantry-init"); err != nil {
				return "", err
			}
		}
	}
	return tool("cmd/gantryd")
}

// args are the daemon's flags. A flag that the test gives itself replaces the default.
func (e *Engine) args() []string {
	args := slices.Clone(e.kind.args)
	for _, def := range [][2]string{
		{"--data-root", e.DataRoot()},
		{"--exec-root", e.ExecRoot()},
		{"--pidfile", e.Path("pid")},
		{"--config-file", e.Path("daemon.json")},
		{"--host", e.Host()},
		{"--cgroup-parent", e.Parent},
		{"--log-level", "debug"},
	} {
		given := func(arg string) bool { return arg == def[0] || strings.HasPrefix(arg, def[0]+"=") }
		if !slices.ContainsFunc(e.options.Args, given) && !strings.Contains(e.options.Config, `"`+def[0][2:]+`"`) {
			args = append(args, def[0]+"="+def[1])
		}
	}
	return append(args, e.options.Args...)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
