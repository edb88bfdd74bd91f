package cdi_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"gantry/container/spec/cdi"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const vendor = `{"cdiVersion": "0.6.0", "kind": "vendor.com/gpu", "devices": [{"name": "0", "containerEdits":
  {"env": ["GPU=0"], "deviceNodes": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3}]}}]}`

func TestInjectorAddsWhatTheVendorDescribes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vendor.json"), []byte(vendor), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
	if err := cdi.Injector(dir)(spec, []string{"vendor.com/gpu=0"}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(spec.Process.Env, "GPU=0") || len(spec.Linux.Devices) != 1 {
		t.Errorf("got %+v, %+v", spec.Process, spec.Linux)
	}
	if err := cdi.Injector(dir)(spec, []string{"vendor.com/gpu=9"}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Errorf("got %v", err)
	}
}

func TestDevicesListsGoodOnesAndSaysWhatIsBroken(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"vendor.json": vendor, "broken.json": "{"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	devices, warnings := cdi.Devices(dir)
	if !slices.Equal(devices, []string{"vendor.com/gpu=0"}) || len(warnings) != 1 {
		t.Errorf("got %q, warnings %q", devices, warnings)
	}
}
