// Package cdi gives containers the devices that CDI specifications describe: GPUs and the like,
// asked for by a qualified name such as vendor.com/gpu=0.
package cdi

import (
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	cdi "tags.cncf.io/container-device-interface/pkg/cdi"
)

// Injector returns the function that puts devices into a specification. The directories are read at each call: vendors'
// tools rewrite them when drivers change. Errors of that function: invalid argument (no such device, a broken specification).
func Injector(dirs ...string) func(spec *specs.Spec, devices []string) error {
	return func(spec *specs.Spec, devices []string) error {
		cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
		if err == nil {
			_, err = cache.InjectDevices(spec, devices...)
		}
		if err != nil {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("CDI device injection failed: %s", err))
		}
		return nil
	}
}

// Devices lists the qualified names of all devices that the directories' specifications describe, sorted; what is wrong with a
// specification is the warnings.
func Devices(dirs ...string) (devices, warnings []string) {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, []string{err.Error()}
	}
	for path, errs := range cache.GetErrors() {
		for _, err := range errs {
			warnings = append(warnings, fmt.Sprintf("WARNING: CDI specification %s: %v", path, err))
		}
	}
	slices.Sort(warnings)
	return cache.ListDevices(), warnings
}
