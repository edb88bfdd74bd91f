// Package archive copies files into and out of containers.
package archive

import (
	"context"
	"io"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// Service reaches the file systems of containers, running or not. Safe for concurrent use.
type Service struct{}

// Stat describes one path. Errors: not found ("Could not find the file /x in container web").
func (s *Service) Stat(ctx context.Context, ref, path string) (*container.PathStat, error) {
	return nil, errdefs.ErrNotImplemented
}

// CopyFrom returns a tar of path, and its stat.
func (s *Service) CopyFrom(ctx context.Context, ref, path string) (io.ReadCloser, *container.PathStat, error) {
	return nil, nil, errdefs.ErrNotImplemented
}

// CopyToOptions of PUT /containers/{id}/archive.
type CopyToOptions struct {
	NoOverwriteDirNonDir bool
	CopyUIDGID           bool
}

// CopyTo extracts a tar, compressed or not, into the directory path.
func (s *Service) CopyTo(ctx context.Context, ref, path string, tar io.Reader, o CopyToOptions) error {
	return errdefs.ErrNotImplemented
}

// Export returns the whole root file system as a tar.
func (s *Service) Export(ctx context.Context, ref string) (io.ReadCloser, error) {
	return nil, errdefs.ErrNotImplemented
}

// Changes is docker diff.
func (s *Service) Changes(ctx context.Context, ref string) ([]container.FilesystemChange, error) {
	return nil, errdefs.ErrNotImplemented
}
