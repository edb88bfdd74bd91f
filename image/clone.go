package image

import (
	"maps"
	"slices"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

// cloneConfig copies what callers may change in a config that others share.
func cloneConfig(c dockerspec.DockerOCIImage) dockerspec.DockerOCIImage {
	c.Config.Env = slices.Clone(c.Config.Env)
	c.Config.Cmd = slices.Clone(c.Config.Cmd)
	c.Config.Entrypoint = slices.Clone(c.Config.Entrypoint)
	c.Config.OnBuild = slices.Clone(c.Config.OnBuild)
	c.Config.Shell = slices.Clone(c.Config.Shell)
	c.Config.ExposedPorts = maps.Clone(c.Config.ExposedPorts)
	c.Config.Volumes = maps.Clone(c.Config.Volumes)
	c.Config.Labels = maps.Clone(c.Config.Labels)
	c.RootFS.DiffIDs = slices.Clone(c.RootFS.DiffIDs)
	c.History = slices.Clone(c.History)
	if c.Config.Healthcheck != nil {
		h := *c.Config.Healthcheck
		h.Test = slices.Clone(h.Test)
		c.Config.Healthcheck = &h
	}
	return c
}
