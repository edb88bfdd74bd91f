// Package adopt reads the data root of Docker's classic image store, and moves its layers.
//
// What dockerd 1.10 to 29 keep without the containerd image store, <driver> being overlay2 here:
//
//	image/<driver>/repositories.json                    names: {"Repositories": {repository: {reference: image ID}}}
//	image/<driver>/imagedb/content/sha256/<image ID>    the image's config, whose digest is the ID
//	image/<driver>/imagedb/metadata/sha256/<image ID>/parent
//	image/<driver>/layerdb/sha256/<chain ID>/           {diff,parent,cache-id,size,tar-split.json.gz}
//	image/<driver>/layerdb/mounts/<container>/          {mount-id,init-id,parent}
//	image/<driver>/distribution/                        which digests registries have for which layers
//	overlay2/<cache-id>/{diff,link,lower,work,committed}
//	overlay2/<mount-id>/, overlay2/<mount-id>-init/     a container's own layer, and the one below it
//	containers/, volumes/, network/                     as in any other data root
//
// Survey reads all of that and changes nothing. What is to be carried over is in it, what is not and why, and the
// reasons for which nothing may be touched at all. Begin writes it down: from then on, what is written counts, and
// every step finds out itself whether it has been done, so that a killed adoption goes on where it was.
package adopt

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"gantry/internal/atomicfile"
	"gantry/internal/fault"
	"gantry/storage"

	"github.com/opencontainers/go-digest"
)

// Driver is the storage driver of classic data roots that can be adopted.
const Driver = "overlay2"

// Root is a classic data root.
type Root struct {
	Dir        string
	Layers     map[storage.ChainID]Layer // those that images and containers have
	Images     []Image
	Containers []Container
	Volumes    []string // names

	// Left is what is not carried over, and stays where it is or goes to the archive: one line each.
	Left []string
	// Refusals are the reasons why nothing may be touched, each with the way out.
	Refusals []string `json:",omitempty"`
	// Begun is when the first step was done; zero before.
	Begun time.Time

	CacheIDs map[string]bool // directories below overlay2 that are carried over or go
}

// Layer is an unpacked layer.
type Layer struct {
	Chain   storage.ChainID
	Parent  storage.ChainID // "" for the lowest
	Diff    storage.DiffID
	CacheID string
	Size    int64 // bytes of its files
}

// Image is an image to carry over.
type Image struct {
	ID     digest.Digest // of its config
	Config []byte
	Diffs  []storage.DiffID // lowest first
	Names  []string         // normal forms, sorted; none for a dangling one
}

// Chain is the ID of all of the image's layers.
func (i Image) Chain() storage.ChainID { return storage.Chain(i.Diffs) }

// Container is a container whose rw layer is to be carried over.
type Container struct {
	ID      string
	Name    string
	Image   string // ID; the image may be gone
	Chain   storage.ChainID
	MountID string
	InitID  string
	Driver  string
}

// Empty reports that there is nothing to carry over.
func (r *Root) Empty() bool { return len(r.Images) == 0 && len(r.Containers) == 0 }

// journal is the file in the data root that holds the survey while an adoption is under way.
const journal = "adoption.json"

// Begin writes the survey down; without it, nothing is to be touched.
func (r *Root) Begin() error {
	if !r.Begun.IsZero() {
		return nil
	}
	r.Begun = time.Now().UTC()
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = atomicfile.Write(filepath.Join(r.Dir, journal), data, 0o600)
	fault.Point("adopt.begun")
	return err
}

// UnderWay reports whether the adoption of a data root was begun and has not been completed.
func UnderWay(dir string) bool { return has(filepath.Join(dir, journal)) }

// resume reads what Begin has written; nil if there is nothing.
func resume(dir string) (*Root, error) {
	data, err := os.ReadFile(filepath.Join(dir, journal))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Root{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	r.Dir = dir
	r.refuseBusy()
	return r, nil
}
