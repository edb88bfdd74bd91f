// Package image holds images as the user knows them: names, indexes, manifests and configs.
package image

import (
	"context"
	"io"

	"gantry/events"
	"gantry/internal/filter"
	"gantry/storage"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Config names what the room stands on.
type Config struct {
	Storage *storage.Service
	Events  *events.Journal
}

// Service is the image store. Safe for concurrent use.
type Service struct{}

func Open(ctx context.Context, cfg Config) (*Service, error) { return nil, errdefs.ErrNotImplemented }

func (s *Service) Close(context.Context) error { return nil }

// Image is one image for one platform.
type Image struct {
	ID       string // digest of the target: index or manifest, as Docker 29 with the containerd store shows it
	Manifest ocispec.Descriptor
	Name     string // the reference that it was found by, familiar form; "" for an ID
	Config   dockerspec.DockerOCIImage
	Platform ocispec.Platform
	Chain    storage.ChainID
}

// Resolve finds what the user typed: name, name:tag, name@digest, ID or ID prefix. Errors: not found,
// with dockerd's "No such image: x:latest"; invalid argument; not found for a platform that the image lacks.
func (s *Service) Resolve(ctx context.Context, ref string, platform *ocispec.Platform) (*Image, error) {
	return nil, errdefs.ErrNotImplemented
}

// Holder is who uses an image.
type Holder struct{ Kind, ID, Name string }

// Hold keeps an image from being removed until release is called.
func (s *Service) Hold(ctx context.Context, id string, h Holder) (release func(context.Context) error, err error) {
	return nil, errdefs.ErrNotImplemented
}

// ListOptions of GET /images/json.
type ListOptions struct {
	All, SharedSize, Manifests bool
	Filters                    filter.Args
}

func (s *Service) List(ctx context.Context, o ListOptions) ([]image.Summary, error) {
	return nil, errdefs.ErrNotImplemented
}

// InspectOptions of GET /images/{name}/json.
type InspectOptions struct {
	Manifests bool
	Platform  *ocispec.Platform
}

func (s *Service) Inspect(ctx context.Context, ref string, o InspectOptions) (*image.InspectResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

func (s *Service) History(ctx context.Context, ref string, platform *ocispec.Platform) ([]image.HistoryResponseItem, error) {
	return nil, errdefs.ErrNotImplemented
}

// Tag gives an image a further name, taking it from the image that has it.
func (s *Service) Tag(ctx context.Context, ref, repo, tag string) error {
	return errdefs.ErrNotImplemented
}

// RemoveOptions of DELETE /images/{name}.
type RemoveOptions struct {
	Force, NoPrune bool
	Platforms      []ocispec.Platform
}

func (s *Service) Remove(ctx context.Context, ref string, o RemoveOptions) ([]image.DeleteResponse, error) {
	return nil, errdefs.ErrNotImplemented
}

// Prune removes dangling images, or all unused ones with the filter dangling=false; bytes is what it freed.
func (s *Service) Prune(ctx context.Context, f filter.Args) (deleted []image.DeleteResponse, bytes uint64, err error) {
	return nil, 0, errdefs.ErrNotImplemented
}

// Save writes a tar that is both an OCI layout and a docker-save archive.
func (s *Service) Save(ctx context.Context, w io.Writer, refs []string, platforms []ocispec.Platform) error {
	return errdefs.ErrNotImplemented
}

// Progress receives the messages of a long operation, in order.
type Progress func(jsonstream.Message)

// Load reads a docker-save or OCI archive, compressed or not.
func (s *Service) Load(ctx context.Context, r io.Reader, platforms []ocispec.Platform, p Progress) error {
	return errdefs.ErrNotImplemented
}

// ImportOptions of POST /images/create?fromSrc=.
type ImportOptions struct {
	Repo, Tag, Message string
	Changes            []string // Dockerfile instructions
	Platform           *ocispec.Platform
}

// Import makes an image of one layer from a root file system tar, and returns its ID.
func (s *Service) Import(ctx context.Context, r io.Reader, o ImportOptions) (string, error) {
	return "", errdefs.ErrNotImplemented
}

// CommitOptions of POST /commit.
type CommitOptions struct {
	ContainerID, ParentID string // ParentID: Image.ID of the container's image; "" for none
	ParentPlatform        *ocispec.Platform
	Repo, Tag             string // both "" for an untagged image
	Author, Message       string
	Config                *container.Config // the new image's config, changes applied
	Layer                 io.Reader         // uncompressed tar
}

func (s *Service) Commit(ctx context.Context, o CommitOptions) (id string, err error) {
	return "", errdefs.ErrNotImplemented
}

// ApplyChanges applies Dockerfile instructions (CMD, ENV, EXPOSE, ...) to cfg. Errors: invalid argument, in dockerd's words.
func ApplyChanges(cfg *container.Config, changes []string) error { return errdefs.ErrNotImplemented }

// DiskUsage is the images' part of system df.
func (s *Service) DiskUsage(ctx context.Context, verbose bool) (*image.DiskUsage, error) {
	return nil, errdefs.ErrNotImplemented
}

// Count is the number of images for /info.
func (s *Service) Count(ctx context.Context) (int, error) { return 0, errdefs.ErrNotImplemented }
