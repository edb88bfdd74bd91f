package security

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"

	"gantry/security/bpf"

	"github.com/containerd/errdefs"
	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Seccomp returns the filter for a container's specification, whose capabilities decide what is
// allowed; nil for unconfined. profile is Options.Seccomp. The filter is shared: it must not be
// changed. Errors: invalid argument (a profile that cannot be parsed), failed precondition (a profile where the kernel has no seccomp).
func (s *Service) Seccomp(profile string, privileged bool, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	own := profile != "" && profile != Builtin
	switch {
	case profile == Unconfined || privileged && !own:
		return nil, nil
	case !s.seccomp && own:
		return nil, errdefs.ErrFailedPrecondition.WithMessage("seccomp is not enabled in your kernel, cannot run a custom seccomp profile")
	case !s.seccomp:
		slog.Warn("seccomp is not enabled in your kernel, running container without default profile")
		return nil, nil
	case profile == "" && s.cfg.SeccompProfile == Unconfined:
		return nil, nil
	case profile == "":
		profile = s.profile
	case profile == Builtin:
		profile = ""
	}
	return s.filters.get(profile, spec)
}

// checkProfile reports what is wrong with the JSON of a profile.
func checkProfile(data []byte) error {
	if len(data) > maxProfile {
		return fmt.Errorf("profile is larger than %d bytes", maxProfile)
	}
	if err := json.Unmarshal(data, &seccomp.Seccomp{}); err != nil {
		//lint:ignore ST1005 dockerd's text
		return fmt.Errorf("Decoding seccomp profile failed: %w", err)
	}
	return nil
}

// maxFilters bounds the cache. A daemon rarely sees more than a few sets of capabilities.
const maxFilters = 32

// filters caches what profiles come to. A profile's result depends on the capabilities alone: the
// kernel and the architecture stay. Containers share one filter of some 400 system calls, and
// whatever is derived from it later.
type filters struct {
	mu       sync.Mutex // guards what follows
	byKey    map[string]*specs.LinuxSeccomp
	programs map[*specs.LinuxSeccomp]string // base64; "" for a filter that is left to the runtime
}

// get returns the filter of a profile, "" for the built-in one.
func (f *filters) get(profile string, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	key := filterKey(profile, spec)
	f.mu.Lock()
	cached, ok := f.byKey[key]
	f.mu.Unlock()
	if ok {
		return cached, nil
	}
	filter, err := evaluate(profile, spec)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byKey == nil || len(f.byKey) >= maxFilters {
		f.byKey, f.programs = map[string]*specs.LinuxSeccomp{}, map[*specs.LinuxSeccomp]string{}
	}
	f.byKey[key] = filter
	return filter, nil
}

// Program returns the BPF program of a filter that Seccomp returned, in base64: what crun takes in the annotation
// run.oci.seccomp_bpf_data, which saves it the compilation, the largest part of a start. "" is a filter
// that only the runtime can compile: another architecture, a listener, flags.
func (s *Service) Program(filter *specs.LinuxSeccomp) string {
	if filter == nil || runtime.GOARCH != "amd64" || len(filter.Flags) > 0 || filter.ListenerPath != "" {
		return ""
	}
	f := &s.filters
	f.mu.Lock()
	text, ok := f.programs[filter]
	f.mu.Unlock()
	if ok {
		return text
	}
	program, err := bpf.Compile(filter, specs.ArchX86_64)
	if err != nil {
		slog.Debug("the runtime compiles a seccomp filter", "reason", err)
	} else {
		text = base64.StdEncoding.EncodeToString(program.Bytes())
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.programs != nil {
		f.programs[filter] = text
	}
	return text
}

func evaluate(profile string, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	if spec.Process == nil || spec.Process.Capabilities == nil {
		spec = &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}}
	}
	if profile == "" {
		return seccomp.GetDefaultProfile(spec)
	}
	if len(profile) > maxProfile {
		return nil, fmt.Errorf("seccomp profile is larger than %d bytes", maxProfile)
	}
	return seccomp.LoadProfile(profile, spec)
}

func filterKey(profile string, spec *specs.Spec) string {
	var caps []string
	if spec.Process != nil && spec.Process.Capabilities != nil {
		caps = slices.Clone(spec.Process.Capabilities.Bounding)
		slices.Sort(caps)
	}
	return strings.Join(caps, ",") + "\x00" + profile
}
