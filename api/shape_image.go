package api

import (
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"
)

// imageSummaryBefore44 is an element of GET /images/json with the second name of its size.
type imageSummaryBefore44 struct {
	*image.Summary
	VirtualSize int64
}

// shapeImageList turns the newest answer into what the version knows. It owns all.
func shapeImageList(all []image.Summary, at version) any {
	for i := range all {
		shapeImageSummary(&all[i], at)
	}
	if !at.before(44) {
		if all == nil {
			return []image.Summary{}
		}
		return all
	}
	old := make([]imageSummaryBefore44, len(all))
	for i := range all {
		old[i] = imageSummaryBefore44{&all[i], all[i].Size}
	}
	return old
}

func shapeImageSummary(s *image.Summary, at version) {
	if at.before(48) {
		s.Descriptor = nil
	}
	if at.before(47) {
		s.Manifests = nil
	}
	if at.before(43) && len(s.RepoTags) == 0 && len(s.RepoDigests) == 0 {
		s.RepoTags, s.RepoDigests = []string{"<none>:<none>"}, []string{"<none>@<none>"}
	}
	if s.RepoTags == nil {
		s.RepoTags = []string{}
	}
	if s.RepoDigests == nil {
		s.RepoDigests = []string{}
	}
}

// imageInspectBefore52 is GET /images/{name}/json with the fields that were dropped since.
type imageInspectBefore52 struct {
	*image.InspectResponse
	Parent          string
	Comment         string
	Created         string  `json:",omitempty"`
	Container       *string `json:",omitempty"` // before 1.45
	ContainerConfig any     `json:",omitempty"` // before 1.45
	DockerVersion   string
	Author          string
	Config          any
	VirtualSize     *int64 `json:",omitempty"` // before 1.44
	GraphDriver     *storage.DriverData
}

// imageConfigBefore52 always has the fields of the image specification.
type imageConfigBefore52 struct {
	*dockerspec.DockerOCIImageConfig
	User       string
	Env        []string
	Cmd        []string
	Entrypoint []string
	Volumes    map[string]struct{}
	WorkingDir string
	OnBuild    []string
	Labels     map[string]string
}

// imageConfigBefore50 also had fields of a container's configuration, always empty.
type imageConfigBefore50 struct {
	Hostname     string
	Domainname   string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Image        string
	imageConfigBefore52
}

// shapeImageInspect turns the newest answer into what the version knows. It owns i.
func shapeImageInspect(i *image.InspectResponse, at version) any {
	if i.RepoTags == nil {
		i.RepoTags = []string{}
	}
	if i.RepoDigests == nil {
		i.RepoDigests = []string{}
	}
	if at.before(53) {
		i.Identity = nil
	}
	if !at.before(52) {
		return i
	}
	if at.before(48) {
		i.Descriptor, i.Manifests = nil, nil
	}
	old := &imageInspectBefore52{
		InspectResponse: i, Comment: i.Comment, Created: i.Created, Author: i.Author, Config: oldImageConfig(i.Config, at), GraphDriver: i.GraphDriver,
	}
	if old.GraphDriver == nil {
		old.GraphDriver = &storage.DriverData{}
	}
	if at.before(45) {
		old.Container, old.ContainerConfig = new(string), oldImageConfig(&dockerspec.DockerOCIImageConfig{}, at)
	}
	if at.before(44) {
		old.VirtualSize = &i.Size
		if old.Created == "" {
			old.Created = time.Time{}.Format(time.RFC3339Nano)
		}
	}
	return old
}

func oldImageConfig(c *dockerspec.DockerOCIImageConfig, at version) any {
	if c == nil {
		return nil
	}
	full := imageConfigBefore52{
		DockerOCIImageConfig: c,
		User:                 c.User, Env: c.Env, Cmd: c.Cmd, Entrypoint: c.Entrypoint, Volumes: c.Volumes,
		WorkingDir: c.WorkingDir, OnBuild: c.OnBuild, Labels: c.Labels,
	}
	if !at.before(50) {
		return full
	}
	return imageConfigBefore50{imageConfigBefore52: full}
}
