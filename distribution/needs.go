package distribution

import (
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type (
	// Store keeps blobs. What is written with the context of an operation is not collected before the operation is done.
	Store interface {
		Content() content.Store
		// Context returns ctx with the namespace that the store needs.
		Context(ctx context.Context) context.Context
		Begin(ctx context.Context) (_ context.Context, done func(context.Context) error, err error)
	}

	// Layers keeps unpacked stacks of layers by chain ID, for the operation of ctx.
	Layers interface {
		HasChain(ctx context.Context, chain digest.Digest) (bool, error)
		// Unpack adds a layer, an uncompressed tar, to the chain parent.
		Unpack(ctx context.Context, parent, diffID digest.Digest, tar io.Reader) (chain digest.Digest, err error)
	}

	// Images keeps the names of images. Names are complete: "docker.io/library/busybox:latest".
	Images interface {
		// Target is what a name points to. Errors: not found.
		Target(ctx context.Context, name string) (ocispec.Descriptor, error)
		// Tags lists the names with a tag that a repository has here.
		Tags(ctx context.Context, repository string) ([]string, error)
		// Pulled makes a name point to an image that the operation of ctx has stored. chain is its unpacked layers, "" for none.
		Pulled(ctx context.Context, name string, target ocispec.Descriptor, chain digest.Digest) error
		// Pushed is told that a registry has the image now.
		Pushed(ctx context.Context, name string)
	}
)
