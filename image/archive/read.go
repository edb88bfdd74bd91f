package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Ingest stores the bytes of one file. expected is "" where the name does not say the digest.
type Ingest func(ctx context.Context, r io.Reader, size int64, expected digest.Digest) (ocispec.Descriptor, error)

// Contents is what an archive holds.
type Contents struct {
	Small map[string][]byte             // the files that say what the rest is
	Blobs map[string]ocispec.Descriptor // everything else, by name: digest and size, no media type
	links map[string]string             // name to name
}

// Read reads an archive to its end, compressed or not, and stores its blobs
// as they come, in constant memory. Errors: invalid argument, and those of ingest.
func Read(ctx context.Context, r io.Reader, ingest Ingest) (_ *Contents, err error) {
	plain, _, err := Decompress(r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	c := &Contents{Small: map[string][]byte{}, Blobs: map[string]ocispec.Descriptor{}, links: map[string]string{}}
	tr := tar.NewReader(plain)
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := tr.Next()
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return nil, notATar(err)
		}
		if n >= maxEntries {
			return nil, invalid("more than %d files", maxEntries)
		}
		if err := c.add(ctx, h, tr, ingest); err != nil {
			return nil, err
		}
	}
}

// notATar keeps what ctx or the connection says, and gives a damaged stream its class.
func notATar(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("%v", err)
	}
	return err
}

func (c *Contents) add(ctx context.Context, h *tar.Header, r io.Reader, ingest Ingest) error {
	name := Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeSymlink: // docker save writes a layer that two images share once, and links to it
		c.links[name] = Clean(path.Join(path.Dir("/"+name), h.Linkname))
		return nil
	case tar.TypeLink:
		c.links[name] = Clean(h.Linkname)
		return nil
	case tar.TypeReg:
	default:
		return nil
	}
	if name == ManifestFile || name == IndexFile || name == LayoutFile {
		if h.Size > MaxJSON {
			return invalid("%s has %d bytes, at most %d are read", name, h.Size, MaxJSON)
		}
		data, err := io.ReadAll(r)
		c.Small[name] = data
		return err
	}
	if ignored(name) {
		return nil
	}
	d, err := ingest(ctx, r, h.Size, digestOf(name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.Blobs[name] = d
	return nil
}

// ignored are files that older versions of docker save add for versions older still.
func ignored(name string) bool {
	base := path.Base(name)
	return name == "repositories" || base == "VERSION" || base == "json" && strings.Count(name, "/") == 1
}

// digestOf returns the digest that a name in an OCI layout promises.
func digestOf(name string) digest.Digest {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != ocispec.ImageBlobsDir {
		return ""
	}
	d := digest.Digest(parts[1] + ":" + parts[2])
	if d.Validate() != nil {
		return ""
	}
	return d
}

// Find returns the blob of a name, through links.
func (c *Contents) Find(name string) (ocispec.Descriptor, error) {
	for range 8 { // a loop of links ends here
		if d, ok := c.Blobs[name]; ok {
			return d, nil
		}
		next, ok := c.links[name]
		if !ok {
			break
		}
		name = next
	}
	return ocispec.Descriptor{}, invalid("%s is not in it", name)
}
