// Package archive reads and writes files that carry images: docker-save
// archives (manifest.json) and OCI layouts (index.json), both in a tar.
//
// What it reads is foreign: every size and count is bounded, names are keys
// and never paths of the host.
package archive

import (
	"encoding/json"
	"fmt"
	"path"

	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of what an archive may hold.
const (
	MaxJSON    = 16 << 20 // bytes of one manifest, index or config
	maxEntries = 100_000  // files in the tar
	maxImages  = 10_000   // images that manifest.json or index.json list
	maxLayers  = 4_096    // layers of one image
)

// Names of the files that say what an archive holds.
const (
	ManifestFile = "manifest.json" // docker save
	IndexFile    = ocispec.ImageIndexFile
	LayoutFile   = ocispec.ImageLayoutFile
)

// Entry is one image of manifest.json; paths are names in the archive.
type Entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// ParseManifest reads manifest.json. Errors: invalid argument.
func ParseManifest(data []byte) ([]Entry, error) {
	var entries []Entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, invalid("%s: %v", ManifestFile, err)
	}
	if len(entries) > maxImages {
		return nil, invalid("%s lists %d images, at most %d are read", ManifestFile, len(entries), maxImages)
	}
	for i := range entries {
		e := &entries[i]
		if e.Config == "" {
			return nil, invalid("%s: image %d has no config", ManifestFile, i)
		}
		if len(e.Layers) > maxLayers || len(e.RepoTags) > maxImages {
			return nil, invalid("%s: image %d has %d layers and %d names", ManifestFile, i, len(e.Layers), len(e.RepoTags))
		}
		e.Config = Clean(e.Config)
		for n, l := range e.Layers {
			e.Layers[n] = Clean(l)
		}
	}
	return entries, nil
}

// ParseIndex reads an OCI image index. Errors: invalid argument.
func ParseIndex(data []byte) (ocispec.Index, error) {
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return index, invalid("image index: %v", err)
	}
	if len(index.Manifests) > maxImages {
		return index, invalid("image index lists %d manifests, at most %d are read", len(index.Manifests), maxImages)
	}
	for _, d := range index.Manifests {
		if err := CheckDescriptor(d); err != nil {
			return index, err
		}
	}
	return index, nil
}

// CheckDescriptor refuses a descriptor with which nothing can be looked up. Errors: invalid argument.
func CheckDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return invalid("digest %q: %v", d.Digest, err)
	}
	if d.Size < 0 {
		return invalid("%s has size %d", d.Digest, d.Size)
	}
	return nil
}

// Clean makes the forms in which tools write a name equal.
func Clean(name string) string { return path.Clean("/" + name)[1:] }

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage("invalid archive: " + fmt.Sprintf(format, args...))
}
