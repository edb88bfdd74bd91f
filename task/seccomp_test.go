package task_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// withProfile gives a container the default profile, and a script that tells how it is confined.
func withProfile(t testing.TB, h *host, id string) (spec *specs.Spec) {
	s := h.oci(id, "sh", "-c", "cat /proc/self/status > /tmp/status-"+id+"; ls / | tail -n 1; sleep 1000")
	s.Process.Capabilities = &specs.LinuxCapabilities{}
	profile, err := seccomp.GetDefaultProfile(s)
	if err != nil {
		t.Fatal(err)
	}
	s.Linux.Seccomp = profile
	return s
}

func TestCompiledSeccompProfileIsTheSame(t *testing.T) {
	h := newHost(t)
	if _, byDefault := h.Runtimes(); byDefault != "crun" {
		t.Skip("machine has no crun")
	}
	var compiled []byte
	for i := range 3 { // compiled by crun, from memory, from disk
		id := randomID(t)
		spec := h.spec(id, "")
		spec.OCI = withProfile(t, h, id)
		h.mustStart(spec)
		data, err := os.ReadFile(filepath.Join(h.cfg.Root, "runtime-crun", id, "seccomp.bpf"))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			compiled = data
		} else if string(compiled) != string(data) {
			t.Errorf("start %d has another filter", i)
		}
		status := filepath.Join(h.rootfs, "tmp/status-"+id)
		var said []byte
		h.until("the container's status", func() bool {
			said, err = os.ReadFile(status)
			return err == nil && strings.Contains(string(said), "Seccomp_filters:")
		})
		if !strings.Contains(string(said), "Seccomp:\t2\n") || !strings.Contains(string(said), "Seccomp_filters:\t1\n") {
			t.Errorf("start %d is not confined: %s", i, said)
		}
		if spec.OCI.Annotations != nil {
			t.Errorf("the caller's specification was changed: %v", spec.OCI.Annotations)
		}
		config, err := filepath.Glob(filepath.Join(h.cfg.Root, "bundles", id+"-*", "config.json"))
		if err != nil || len(config) != 1 {
			t.Fatal(config, err)
		}
		written, err := os.ReadFile(config[0])
		if err != nil {
			t.Fatal(err)
		}
		if has := strings.Contains(string(written), "run.oci.seccomp_bpf_data"); has != (i > 0) {
			t.Errorf("start %d: program given %v", i, has)
		}
		if i == 1 {
			if err := h.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.open()
		}
	}
}

func BenchmarkStartToExitConfined(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		id := randomID(b)
		spec := h.spec(id, "")
		spec.OCI = withProfile(b, h, id)
		spec.OCI.Process.Args = []string{"true"}
		h.mustStart(spec)
		h.exit()
	}
}
