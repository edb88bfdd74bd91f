package adopt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gantry/storage"

	"github.com/opencontainers/go-digest"
)

// recordFile is the record of a container in its directory.
const recordFile = "config.v2.json"

// summary is as much of a container's record as adoption needs.
type summary struct {
	ID, Name, Driver, Image string
}

// readContainers reads the containers that are not ours already, and takes their layers.
func (r *Root) readContainers(layers map[storage.ChainID]Layer) error {
	entries, err := readDir(filepath.Join(r.Dir, "containers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := r.readContainer(e.Name())
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue // no record: of no concern to anybody
		case err != nil:
			r.Left = append(r.Left, fmt.Sprintf("container %s: %v", e.Name(), err))
			continue
		case c.Driver == "overlayfs" || c.Driver == "native" || c.Driver == "erofs":
			continue // of the containerd image store, or adopted already
		case c.Driver != Driver && c.Driver != "":
			r.Refusals = append(r.Refusals, fmt.Sprintf("container %s (%s) has the storage driver %s, of which nothing can be carried over: remove it with dockerd, or keep it with docker commit and docker save", c.Name, shortID(c.ID), c.Driver))
			continue
		}
		if err := r.readMount(&c); err != nil {
			r.Left = append(r.Left, fmt.Sprintf("writable layer of container %s (%s): %v", c.Name, shortID(c.ID), err))
			continue
		}
		if err := r.take(layers, c.Chain); err != nil {
			r.Left = append(r.Left, fmt.Sprintf("writable layer of container %s (%s): %v", c.Name, shortID(c.ID), err))
			continue
		}
		if !has(r.overlay(c.MountID, "diff")) {
			r.Left = append(r.Left, fmt.Sprintf("writable layer of container %s (%s): there is no %s", c.Name, shortID(c.ID), r.overlay(c.MountID, "diff")))
			continue
		}
		r.CacheIDs[c.MountID], r.CacheIDs[c.InitID] = true, true
		r.Containers = append(r.Containers, c)
	}
	return nil
}

func (r *Root) readContainer(id string) (Container, error) {
	data, err := readFile(filepath.Join(r.Dir, "containers", id, recordFile))
	if err != nil {
		return Container{}, err
	}
	s, err := parseRecord(data)
	if err == nil && s.ID != id {
		err = fmt.Errorf("its record is that of %q", s.ID)
	}
	return Container{ID: s.ID, Name: strings.TrimPrefix(s.Name, "/"), Image: s.Image, Driver: s.Driver}, err
}

func parseRecord(data []byte) (s summary, err error) {
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", recordFile, err)
	}
	if !isName(s.ID) {
		return s, fmt.Errorf("%s: ID %q", recordFile, s.ID)
	}
	return s, nil
}

// readMount reads where the container's own files are. A container of an image without layers has no parent.
func (r *Root) readMount(c *Container) error {
	dir := r.store("layerdb", "mounts", c.ID)
	var err error
	if c.MountID, err = readLine(filepath.Join(dir, "mount-id")); err != nil {
		return err
	}
	if c.InitID, err = readLine(filepath.Join(dir, "init-id")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if !isName(c.MountID) || c.InitID != "" && !isName(c.InitID) {
		return fmt.Errorf("mount-id %q and init-id %q are not names of directories", c.MountID, c.InitID)
	}
	parent, err := readDigest(filepath.Join(dir, "parent"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	c.Chain = storage.ChainID(parent)
	return nil
}

// isName reports whether s is the name of something in a directory, and nothing that leads out of it.
func isName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\x00") && len(s) <= 255
}

func shortID(id string) string { return id[:min(12, len(id))] }

// readDigest reads a file that holds one digest.
func readDigest(path string) (digest.Digest, error) {
	line, err := readLine(path)
	if err != nil {
		return "", err
	}
	d := digest.Digest(line)
	if err := d.Validate(); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

func readLine(path string) (string, error) {
	data, err := readFile(path)
	return strings.TrimSpace(string(data)), err
}

// readFile reads a regular file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s is not a regular file of at most %d bytes", path, maxFile)
	}
	return os.ReadFile(path)
}

// readDir lists a directory; one that is not there is empty.
func readDir(dir string) ([]os.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}
