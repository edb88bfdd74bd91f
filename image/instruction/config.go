package instruction

import (
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImageConfig is the part of a container's config that an image keeps.
func ImageConfig(c *container.Config) dockerspec.DockerOCIImageConfig {
	var ports map[string]struct{}
	if len(c.ExposedPorts) > 0 {
		ports = make(map[string]struct{}, len(c.ExposedPorts))
		for p := range c.ExposedPorts {
			ports[p.String()] = struct{}{}
		}
	}
	return dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User:         c.User,
			ExposedPorts: ports,
			Env:          c.Env,
			Entrypoint:   c.Entrypoint,
			Cmd:          c.Cmd,
			Volumes:      c.Volumes,
			WorkingDir:   c.WorkingDir,
			Labels:       c.Labels,
			StopSignal:   c.StopSignal,
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{
			Healthcheck: c.Healthcheck,
			OnBuild:     c.OnBuild,
			Shell:       c.Shell,
		},
	}
}
