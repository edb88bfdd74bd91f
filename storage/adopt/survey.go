package adopt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gantry/storage"
	"gantry/storage/tarsplit"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxFile bounds every file of the classic store that is read whole.
const maxFile = 64 << 20

// Survey reads a data root, or what was written down of it when its adoption began. It is nil where no classic
// image store is. It changes nothing.
func Survey(dir string) (*Root, error) {
	if r, err := resume(dir); err != nil || r != nil {
		return r, err
	}
	r := &Root{Dir: dir, Layers: map[storage.ChainID]Layer{}, CacheIDs: map[string]bool{}}
	if err := r.recognise(); err != nil {
		return nil, err
	}
	if len(r.Refusals) > 0 {
		return r, nil
	}
	if !hasImages(r.store()) {
		return nil, nil
	}
	layers, err := r.readLayers()
	if err != nil {
		return nil, err
	}
	if err := r.readContainers(layers); err != nil {
		return nil, err
	}
	if err := r.readImages(layers); err != nil {
		return nil, err
	}
	r.refuseBusy()
	r.refuseElsewhere()
	return r, r.readLeft()
}

// store is a path in the image store.
func (r *Root) store(elem ...string) string {
	return filepath.Join(append([]string{r.Dir, "image", Driver}, elem...)...)
}

// split is the tar-split file of a layer.
func (r *Root) split(chain storage.ChainID) string {
	return r.store("layerdb", "sha256", digest.Digest(chain).Encoded(), tarsplit.File)
}

// overlay is a path below overlay2.
func (r *Root) overlay(elem ...string) string {
	return filepath.Join(append([]string{r.Dir, Driver}, elem...)...)
}

// readLayers reads all of layerdb. What is broken is left out: whoever needs it will be.
func (r *Root) readLayers() (map[storage.ChainID]Layer, error) {
	out := map[storage.ChainID]Layer{}
	dir := r.store("layerdb", "sha256")
	entries, err := readDir(dir)
	for _, e := range entries {
		chain := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if chain.Validate() != nil {
			continue
		}
		l, err := readLayer(filepath.Join(dir, e.Name()))
		if err != nil {
			r.Left = append(r.Left, fmt.Sprintf("layer %s: %v", chain, err))
			continue
		}
		if l.Chain = storage.Extend(l.Parent, l.Diff); string(l.Chain) != string(chain) {
			r.Left = append(r.Left, fmt.Sprintf("layer %s: its diff and parent make the chain %s", chain, l.Chain))
			continue
		}
		out[l.Chain] = l
	}
	return out, err
}

func readLayer(dir string) (l Layer, err error) {
	diff, err := readDigest(filepath.Join(dir, "diff"))
	if err != nil {
		return l, err
	}
	parent, err := readDigest(filepath.Join(dir, "parent"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return l, err
	}
	if l.CacheID, err = readLine(filepath.Join(dir, "cache-id")); err != nil {
		return l, err
	}
	if !isName(l.CacheID) {
		return l, fmt.Errorf("cache-id %q is not the name of a directory", l.CacheID)
	}
	if _, err = os.Stat(filepath.Join(dir, tarsplit.File)); err != nil {
		return l, err
	}
	if size, err := readLine(filepath.Join(dir, "size")); err == nil {
		l.Size, _ = strconv.ParseInt(size, 10, 64) // for show alone
	}
	l.Diff, l.Parent = storage.DiffID(diff), storage.ChainID(parent)
	return l, nil
}

// take marks a chain with all its parents as carried over. Errors: what is missing.
func (r *Root) take(layers map[storage.ChainID]Layer, chain storage.ChainID) error {
	var stack []Layer
	for c := chain; c != ""; {
		l, ok := layers[c]
		if !ok {
			return fmt.Errorf("layer %s is missing or broken", c)
		}
		if !has(r.overlay(l.CacheID, "diff")) {
			return fmt.Errorf("layer %s has no directory %s", c, r.overlay(l.CacheID, "diff"))
		}
		if len(stack) > len(layers) {
			return fmt.Errorf("layer %s is its own parent", c)
		}
		stack = append(stack, l)
		c = l.Parent
	}
	for _, l := range stack {
		r.Layers[l.Chain] = l
		r.CacheIDs[l.CacheID] = true
	}
	return nil
}

// readImages reads the images. An image without a name that others were built from is not one for the
// user, unless a container has it.
func (r *Root) readImages(layers map[storage.ChainID]Layer) error {
	names, err := r.readNames()
	if err != nil {
		return err
	}
	dir := r.store("imagedb", "content", "sha256")
	entries, err := readDir(dir)
	if err != nil {
		return err
	}
	parents := r.parents()
	for _, e := range entries {
		id := digest.NewDigestFromEncoded(digest.SHA256, e.Name())
		if id.Validate() != nil {
			continue
		}
		used := slices.ContainsFunc(r.Containers, func(c Container) bool { return c.Image == id.String() })
		if len(names[id]) == 0 && parents[id] && !used {
			r.Left = append(r.Left, fmt.Sprintf("image %s: a step of a build, without a name; the images built on it keep its layers", short(id)))
			continue
		}
		i, err := readImage(filepath.Join(dir, e.Name()), id)
		if err == nil {
			err = r.take(layers, i.Chain())
		}
		if err != nil {
			r.Left = append(r.Left, fmt.Sprintf("image %s %s: %v", short(id), strings.Join(names[id], " "), err))
			continue
		}
		i.Names = names[id]
		r.Images = append(r.Images, i)
	}
	return nil
}

func readImage(path string, id digest.Digest) (Image, error) {
	i := Image{ID: id}
	var err error
	if i.Config, err = readFile(path); err != nil {
		return i, err
	}
	if digest.FromBytes(i.Config) != id {
		return i, errors.New("its config does not have the digest that it is named by")
	}
	var config struct {
		OS     string         `json:"os"`
		RootFS ocispec.RootFS `json:"rootfs"`
	}
	if err := json.Unmarshal(i.Config, &config); err != nil {
		return i, err
	}
	if config.OS != "" && config.OS != "linux" {
		return i, fmt.Errorf("it is for %s", config.OS)
	}
	for _, d := range config.RootFS.DiffIDs {
		if err := d.Validate(); err != nil {
			return i, fmt.Errorf("diff ID %q: %w", d, err)
		}
		i.Diffs = append(i.Diffs, storage.DiffID(d))
	}
	return i, nil
}

// readNames reads repositories.json, by image ID.
func (r *Root) readNames() (map[digest.Digest][]string, error) {
	data, err := readFile(r.store("repositories.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, bad, err := parseNames(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.store("repositories.json"), err)
	}
	for _, b := range bad {
		r.Left = append(r.Left, fmt.Sprintf("name %q: not a reference to an image", b))
	}
	return names, nil
}

// parseNames returns the normal forms of all names, sorted, and what is not one.
func parseNames(data []byte) (names map[digest.Digest][]string, bad []string, err error) {
	var file struct {
		Repositories map[string]map[string]string
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, nil, err
	}
	names = map[digest.Digest][]string{}
	for _, references := range file.Repositories {
		for ref, id := range references {
			named, err := reference.ParseNormalizedNamed(ref)
			if err != nil || digest.Digest(id).Validate() != nil || reference.IsNameOnly(named) {
				bad = append(bad, ref)
				continue
			}
			names[digest.Digest(id)] = append(names[digest.Digest(id)], named.String())
		}
	}
	for _, list := range names {
		slices.Sort(list)
	}
	slices.Sort(bad)
	return names, bad, nil
}

// parents are the images that others were built from, as the old builder remembers.
func (r *Root) parents() map[digest.Digest]bool {
	out := map[digest.Digest]bool{}
	files, _ := filepath.Glob(r.store("imagedb", "metadata", "sha256", "*", "parent")) // the pattern is good
	for _, f := range files {
		child := digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(filepath.Dir(f)))
		if _, err := os.Stat(r.store("imagedb", "content", "sha256", child.Encoded())); err != nil {
			continue
		}
		if d, err := readDigest(f); err == nil {
			out[d] = true
		}
	}
	return out
}

func short(d digest.Digest) string {
	hex := d.Encoded()
	return hex[:min(12, len(hex))]
}
