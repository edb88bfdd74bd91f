package container

import (
	"context"
	"errors"
	"slices"
	"time"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// CommitRequest is POST /commit.
type CommitRequest struct {
	Container       string
	Repo, Tag       string
	Author, Comment string
	Changes         []string
	Config          *container.Config // replaces the container's where a field is set
	NoPause         bool
}

// Commit makes an image of the container's rw layer and returns its ID. The container is paused meanwhile
// unless NoPause is set. Errors: not found, conflict (being removed), invalid argument (a change).
func (s *Service) Commit(ctx context.Context, req CommitRequest) (_ string, err error) {
	defer s.observe("commit", time.Now())
	c, err := s.Get(req.Container)
	if err != nil {
		return "", err
	}
	r := c.Record()
	if r.Status == record.Removing || r.Status == record.Dead {
		return "", errdefs.ErrConflict.WithMessage("You cannot commit container " + r.ID + " which is " + string(r.Status))
	}
	config := committed(r.Config, req.Config)
	if err := s.cfg.Images.ApplyChanges(config, req.Changes); err != nil {
		return "", err
	}
	if !req.NoPause && r.Status == record.Running {
		if err := s.Pause(ctx, c.id); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, s.Unpause(context.WithoutCancel(ctx), c.id)) }()
	}
	layer, err := s.cfg.Storage.Diff(ctx, c.id)
	if err != nil {
		return "", err
	}
	id, err := s.cfg.Images.Commit(ctx, CommitOptions{
		ContainerID: c.id, ParentID: r.ImageID, ParentPlatform: &r.Platform,
		Repo: req.Repo, Tag: req.Tag, Author: req.Author, Message: req.Comment, Config: config, Layer: layer,
	})
	if err = errors.Join(err, layer.Close()); err != nil {
		return "", err
	}
	extra := map[string]string{"comment": req.Comment, "imageID": id}
	if req.Repo != "" {
		extra["imageRef"] = req.Repo + ":" + req.Tag
	}
	s.Announce(r, events.ActionCommit, extra)
	return id, nil
}

// committed is the image configuration that a container's settings make: the client's
// where it has set a field, the container's else.
func committed(from, over *container.Config) *container.Config {
	out := *from
	out.Hostname, out.Domainname = "", ""
	if over == nil {
		return &out
	}
	if over.User != "" {
		out.User = over.User
	}
	if len(over.Env) > 0 {
		out.Env = mergeEnv(slices.Clone(over.Env), from.Env)
	}
	if len(over.Cmd) > 0 {
		out.Cmd = over.Cmd
	}
	if len(over.Entrypoint) > 0 {
		out.Entrypoint = over.Entrypoint
	}
	if over.WorkingDir != "" {
		out.WorkingDir = over.WorkingDir
	}
	if len(over.Labels) > 0 {
		labels := map[string]string{}
		for k, v := range from.Labels {
			labels[k] = v
		}
		for k, v := range over.Labels {
			labels[k] = v
		}
		out.Labels = labels
	}
	if len(over.ExposedPorts) > 0 {
		out.ExposedPorts = over.ExposedPorts
	}
	if len(over.Volumes) > 0 {
		out.Volumes = over.Volumes
	}
	return &out
}

// DiskUsage is the containers' part of system df. It measures every rw layer: O(files).
func (s *lister) DiskUsage(ctx context.Context, verbose bool) (*container.DiskUsage, error) {
	items, err := s.List(ctx, ListOptions{All: true, Size: true})
	if err != nil {
		return nil, err
	}
	usage := &container.DiskUsage{TotalCount: int64(len(items))}
	for _, c := range items {
		usage.TotalSize += c.SizeRw
		if c.State == container.StateRunning || c.State == container.StatePaused || c.State == container.StateRestarting {
			usage.ActiveCount++
		} else {
			usage.Reclaimable += c.SizeRw
		}
	}
	if verbose {
		usage.Items = items
	}
	return usage, nil
}
