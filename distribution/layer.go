package distribution

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// sourceLabel and a registry's domain are the label of a blob that lists the repositories where it is known to be,
// as containerd writes it: where a push can have it mounted from.
const sourceLabel = "containerd.io/distribution.source."

// maxSources bounds that list.
const maxSources = 16

// layerJob brings one layer of an image here.
type layerJob struct {
	pull  *pull
	blob  blob
	line  *line
	chain digest.Digest        // of this layer and those below it
	below <-chan digest.Digest // the chain below, when it is there
	done  chan<- digest.Digest
}

func (j *layerJob) run(ctx context.Context) error {
	s := j.pull.svc
	here, err := s.has(ctx, j.blob.desc)
	if err != nil {
		return err
	}
	unpacked, err := s.cfg.Layers.HasChain(ctx, j.chain)
	if err != nil {
		return err
	}
	if here && unpacked {
		j.line.say("Already exists")
		return j.finish(ctx)
	}
	j.pull.fetched()
	if !here {
		if err := s.transfers.fetch(ctx, j.pull.repo, j.blob, j.line); err != nil {
			return err
		}
	}
	if err := j.unpack(ctx); err != nil {
		return err
	}
	j.line.say("Pull complete")
	return s.source(ctx, j.blob.desc.Digest, j.pull.repo)
}

// finish hands the chain on.
func (j *layerJob) finish(ctx context.Context) error {
	select {
	case <-j.below:
		j.done <- j.chain
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unpack puts the layer on the chain below.
func (j *layerJob) unpack(ctx context.Context) (err error) {
	var parent digest.Digest
	select {
	case parent = <-j.below:
	case <-ctx.Done():
		return ctx.Err()
	}
	s := j.pull.svc
	if has, err := s.cfg.Layers.HasChain(ctx, j.chain); err != nil || has {
		j.done <- j.chain
		return err
	}
	ra, err := s.cfg.Store.Content().ReaderAt(ctx, j.blob.desc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ra.Close()) }()
	read := &counted{r: io.NewSectionReader(ra, 0, ra.Size()), line: j.line, total: ra.Size()}
	tar, err := decompress(read)
	if err != nil {
		return fmt.Errorf("layer %s: %w", j.blob.desc.Digest, err)
	}
	defer func() { err = errors.Join(err, tar.Close()) }()
	chain, err := s.cfg.Layers.Unpack(ctx, parent, j.blob.diffID, tar)
	if err != nil {
		return fmt.Errorf("failed to register layer: %w", err)
	}
	j.done <- chain
	return nil
}

// counted moves the bar while a blob is unpacked.
type counted struct {
	r           io.Reader
	line        *line
	read, total int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.read += int64(n)
	c.line.bar("Extracting", c.read, c.total)
	return n, err
}

// source notes that a repository has a blob.
func (s *Service) source(ctx context.Context, d digest.Digest, r *repository) error {
	store := s.cfg.Store.Content()
	info, err := store.Info(ctx, d)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	key := sourceLabel + r.domain
	var known []string
	if info.Labels[key] != "" {
		known = strings.Split(info.Labels[key], ",")
	}
	for _, k := range known {
		if k == r.path {
			return nil
		}
	}
	if len(known) >= maxSources {
		return nil
	}
	value := strings.Join(append(known, r.path), ",")
	if len(key)+len(value) > 4096 { // the store's limit
		return nil
	}
	_, err = store.Update(ctx, content.Info{Digest: d, Labels: map[string]string{key: value}}, "labels."+key)
	return err
}
