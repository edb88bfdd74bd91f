package task

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"gantry/internal/atomicfile"
	"gantry/task/protocol"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// bpfAnnotation hands crun a compiled filter (crun 1.1): a base64 program in place of what it would compile of
// the profile, which takes it longer than all the rest of a container's start.
const bpfAnnotation = "run.oci.seccomp_bpf_data"

const (
	// instructionSize is that of a struct sock_filter, in bytes.
	instructionSize = 8
	// maxInstructions is BPF_MAXINSNS.
	maxInstructions = 4096
	// maxPrograms bounds the cache: profiles differ by container only with its capabilities.
	maxPrograms = 64
)

// programs are the seccomp filters that crun has compiled of profiles before: it leaves each beside the
// container's state. They are kept on disk for the next gantryd.
type programs struct {
	dir string

	mu    sync.Mutex // guards what follows
	byKey map[string]string
}

func newPrograms(dir string) *programs { return &programs{dir: dir, byKey: map[string]string{}} }

// key names the program of a profile and a runtime; "" where there is none to be had.
func (p *programs) key(r protocol.Runtime, version string, spec *specs.Spec) string {
	if r.Kind != protocol.KindCrun || spec.Linux == nil || spec.Linux.Seccomp == nil || spec.Linux.Seccomp.ListenerPath != "" {
		return ""
	}
	if _, given := spec.Annotations[bpfAnnotation]; given {
		return ""
	}
	h := sha256.New()
	for _, s := range []string{r.Path, "\x00", version, "\x00"} {
		_, _ = io.WriteString(h, s) // a hash takes everything
	}
	if err := json.NewEncoder(h).Encode(spec.Linux.Seccomp); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// annotate adds the program to the specification, if it is known. The specification's map is not changed but replaced.
func (p *programs) annotate(spec *specs.Spec, key string) (known bool) {
	if key == "" {
		return true
	}
	program, ok := p.get(key)
	if !ok {
		return false
	}
	annotations := maps.Clone(spec.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[bpfAnnotation] = program
	spec.Annotations = annotations
	return true
}

func (p *programs) get(key string) (string, bool) {
	p.mu.Lock()
	program, ok := p.byKey[key]
	p.mu.Unlock()
	if ok {
		return program, true
	}
	data, err := os.ReadFile(p.path(key))
	if err != nil || !isProgram(data) {
		return "", false
	}
	return p.put(key, data), true
}

func (p *programs) put(key string, data []byte) string {
	program := base64.StdEncoding.EncodeToString(data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.byKey) >= maxPrograms {
		clear(p.byKey)
	}
	p.byKey[key] = program
	return program
}

func (p *programs) path(key string) string { return filepath.Join(p.dir, key+".bpf") }

// learn takes the program that the runtime has just compiled for a container. That it is gone already, or
// cannot be kept, costs the next start some time, and nothing else.
func (p *programs) learn(key string, r protocol.Runtime, id string) error {
	data, err := os.ReadFile(filepath.Join(r.Root, id, "seccomp.bpf"))
	if err != nil || !isProgram(data) {
		return err
	}
	p.put(key, data)
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	return atomicfile.WriteVolatile(p.path(key), data, 0o600)
}

func isProgram(data []byte) bool {
	return len(data) > 0 && len(data)%instructionSize == 0 && len(data) <= maxInstructions*instructionSize
}
