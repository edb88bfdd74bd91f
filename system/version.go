package system

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"gantry/internal/version"

	"github.com/moby/moby/api/types/system"
)

// Version is GET /version. The docker command prints the components with their details. Errors: none.
func (s *Service) Version(context.Context) (*system.VersionResponse, error) {
	defer s.observe("system_version", time.Now())
	build := version.Read()
	v := &system.VersionResponse{
		Platform:      system.PlatformInfo{Name: "gantry"},
		Version:       version.Number,
		APIVersion:    s.cfg.APIVersion,
		MinAPIVersion: s.cfg.MinAPIVersion,
		Os:            runtime.GOOS,
		Arch:          runtime.GOARCH,
		GitCommit:     build.Short(),
		GoVersion:     runtime.Version(),
		KernelVersion: s.cfg.Host.Kernel.Release,
		Experimental:  s.settings.Load().Serve.Experimental,
	}
	if !build.Time.IsZero() {
		v.BuildTime = build.Time.Format("2006-01-02T15:04:05.000000000-07:00") // a fixed width, as dockerd's
	}
	v.Components = s.components(v)
	return v, nil
}

func (s *Service) components(v *system.VersionResponse) []system.ComponentVersion {
	out := []system.ComponentVersion{{
		Name:    "Engine",
		Version: v.Version,
		Details: map[string]string{
			"ApiVersion":    v.APIVersion,
			"MinAPIVersion": v.MinAPIVersion,
			"Arch":          v.Arch,
			"Os":            v.Os,
			"BuildTime":     v.BuildTime,
			"Experimental":  strconv.FormatBool(v.Experimental),
			"GitCommit":     v.GitCommit,
			"GoVersion":     v.GoVersion,
			"KernelVersion": v.KernelVersion,
		},
	}}
	all, byDefault := s.cfg.Runtimes.Runtimes()
	if rt, ok := all[byDefault]; ok {
		out = append(out, system.ComponentVersion{Name: byDefault, Version: rt.Version, Details: map[string]string{"Path": rt.Path}})
	}
	return append(out, system.ComponentVersion{
		Name: "gantry-supervisor", Version: version.Number, Details: map[string]string{"GitCommit": v.GitCommit},
	})
}
