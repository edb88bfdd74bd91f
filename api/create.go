package api

import (
	"encoding/json"

	"gantry/container"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// createBody is the body of POST /containers/create: the newest form, and what older clients may still say.
type createBody struct {
	configBody
	HostConfig       *containertypes.HostConfig
	NetworkingConfig *network.NetworkingConfig
}

// configBody is a container's configuration as any version of a client writes it.
type configBody struct {
	*containertypes.Config
	Cmd        words
	Entrypoint words
	MacAddress *string // dropped in 1.52 for that of an endpoint
}

// words is a list of strings that may be written as one string.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		return json.Unmarshal(b, (*[]string)(w))
	}
	var one string
	if err := json.Unmarshal(b, &one); err != nil {
		return err
	}
	*w = words{one}
	return nil
}

// config is the configuration in its newest form, nil if nothing was said.
func (b *configBody) config() *containertypes.Config {
	if b.Config == nil && b.Cmd == nil && b.Entrypoint == nil && b.MacAddress == nil {
		return nil
	}
	if b.Config == nil {
		b.Config = &containertypes.Config{}
	}
	b.Config.Cmd, b.Config.Entrypoint = b.Cmd, b.Entrypoint
	return b.Config
}

// createRequest is a decoded POST /containers/create, in the newest form.
type createRequest struct {
	container.CreateRequest
	warnings []string
}

// decodeCreate reads the request and applies what its version takes for granted. Errors: invalid argument.
func decodeCreate(w *response, r *request, cgroupV2 bool) (*createRequest, error) {
	var body createBody
	if err := r.decode(w, &body); err != nil {
		return nil, err
	}
	config := body.config()
	if config == nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	req := &createRequest{CreateRequest: container.CreateRequest{
		Name: r.param("name"), Config: config, HostConfig: body.HostConfig, Networking: body.NetworkingConfig,
	}}
	if req.HostConfig == nil {
		req.HostConfig = &containertypes.HostConfig{}
	}
	if req.Networking == nil {
		req.Networking = &network.NetworkingConfig{}
	}
	if text := r.param("platform"); text != "" && !r.version.before(41) {
		p, err := parsePlatform(text)
		if err != nil {
			return nil, err
		}
		req.Platform = p
	}
	mac := ""
	if body.MacAddress != nil {
		mac = *body.MacAddress
	}
	err := req.shape(r.version, mac, cgroupV2)
	return req, err
}

// parsePlatform reads os[/arch[/variant]]. Errors: invalid argument.
func parsePlatform(text string) (*ocispec.Platform, error) {
	p, err := platforms.Parse(text)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return &p, nil
}

// decodePlatform reads a platform as JSON, as images are asked for since 1.46. Errors: invalid argument.
func decodePlatform(text string) (*ocispec.Platform, error) {
	var p ocispec.Platform
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage("failed to parse platform: " + err.Error())
	}
	if p.OS == "" && p.Architecture == "" && p.Variant == "" && p.OSVersion == "" {
		return nil, errdefs.ErrInvalidArgument.WithMessage("failed to parse platform: both OS and Architecture must be provided")
	}
	return &p, nil
}
