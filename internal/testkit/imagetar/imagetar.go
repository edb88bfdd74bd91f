// Package imagetar makes images for tests without a network or a builder: a
// root file system becomes a docker-save archive of one layer.
package imagetar

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Epoch is the time of every file and image that this package makes, so that
// equal inputs are equal images.
var Epoch = time.Date(2024, time.January, 2, 3, 4, 5, 0, time.UTC)

// File is one entry of a root file system.
type File struct {
	Mode    fs.FileMode // type bits as in io/fs; 0 is a regular file of mode 0644
	Data    string      // content, or the target of a symbolic link
	Link    string      // path of the file that this is a hard link to
	UID     int
	GID     int
	Major   int64
	Minor   int64
	Records map[string]string // PAX records
}

// Rootfs maps absolute or relative paths to their files. Missing parent directories are made.
type Rootfs map[string]File

// Image is what becomes one docker-save archive.
type Image struct {
	Tags     []string                        // "busybox:latest"
	Config   dockerspec.DockerOCIImageConfig // Cmd, Env, ...
	Layers   []Rootfs                        // lowest first
	Platform ocispec.Platform                // zero is linux/amd64
}

// Layer returns the uncompressed tar of a root file system.
func Layer(files Rootfs) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range withParents(files) {
		h, err := header(name, files[name])
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if _, err := w.Write([]byte(files[name].Data)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// withParents adds the missing directories to files and returns all names, parents first.
func withParents(files Rootfs) []string {
	for name, f := range files {
		clean := filepath.Clean("/" + name)[1:]
		if clean != name {
			delete(files, name)
			files[clean] = f
		}
		for dir := filepath.Dir(clean); dir != "." && dir != "/"; dir = filepath.Dir(dir) {
			if _, ok := files[dir]; !ok {
				files[dir] = File{Mode: fs.ModeDir | 0o755}
			}
		}
	}
	var names []string
	for name := range files {
		if name != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return hardLinksLast(names, files)
}

// hardLinksLast keeps a link behind the file that it names.
func hardLinksLast(names []string, files Rootfs) []string {
	var first, last []string
	for _, name := range names {
		if files[name].Link != "" {
			last = append(last, name)
		} else {
			first = append(first, name)
		}
	}
	return append(first, last...)
}

func header(name string, f File) (*tar.Header, error) {
	mode := f.Mode
	if mode == 0 {
		mode = 0o644
	}
	h := &tar.Header{
		Name: name, Mode: int64(mode.Perm()), ModTime: Epoch, Uid: f.UID, Gid: f.GID,
		PAXRecords: f.Records, Format: tar.FormatPAX, Typeflag: tar.TypeReg,
		Devmajor: f.Major, Devminor: f.Minor,
	}
	if mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	if mode&fs.ModeSetuid != 0 {
		h.Mode |= 0o4000
	}
	switch {
	case f.Link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, f.Link
	case mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, f.Data
	case mode&fs.ModeCharDevice != 0:
		h.Typeflag = tar.TypeChar
	case mode&fs.ModeNamedPipe != 0:
		h.Typeflag = tar.TypeFifo
	case mode.IsRegular():
		h.Size = int64(len(f.Data))
	default:
		return nil, fmt.Errorf("%s: mode %s is not supported", name, mode)
	}
	return h, nil
}

// Directory reads a directory of the host as a root file system: regular files, directories and symbolic links.
func Directory(root string) (Rootfs, error) {
	files := Rootfs{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := File{Mode: info.Mode()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			f.Data, err = os.Readlink(path)
		case info.Mode().IsRegular():
			var data []byte
			data, err = os.ReadFile(path)
			f.Data = string(data)
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files[rel] = f
		return err
	})
	return files, err
}

// spec returns the config file of an image with these layer tars.
func (i Image) spec(layers [][]byte) dockerspec.DockerOCIImage {
	created := Epoch
	platform := i.Platform
	if platform.OS == "" {
		platform = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	config := dockerspec.DockerOCIImage{
		Image:  ocispec.Image{Created: &created, Platform: platform, RootFS: ocispec.RootFS{Type: "layers"}},
		Config: i.Config,
	}
	for n, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(layer))
		config.History = append(config.History, ocispec.History{Created: &created, CreatedBy: fmt.Sprintf("layer %d", n)})
	}
	return config
}

// Build returns one docker-save archive of the images.
func Build(images ...Image) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	written := map[string]bool{}
	put := func(name string, data []byte) error {
		if written[name] {
			return nil
		}
		written[name] = true
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: Epoch}); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	var manifest []map[string]any
	for _, image := range images {
		entry, err := image.write(put)
		if err != nil {
			return nil, err
		}
		manifest = append(manifest, entry)
	}
	data, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	if err := put("manifest.json", data); err != nil {
		return nil, err
	}
	err = w.Close()
	return buf.Bytes(), err
}

// write puts the image's files and returns its entry of manifest.json.
func (i Image) write(put func(string, []byte) error) (map[string]any, error) {
	var tars [][]byte
	var names []string
	for _, files := range i.Layers {
		layer, err := Layer(files)
		if err != nil {
			return nil, err
		}
		name := hexOf(layer) + "/layer.tar"
		if err := put(name, layer); err != nil {
			return nil, err
		}
		tars, names = append(tars, layer), append(names, name)
	}
	config, err := json.Marshal(i.spec(tars))
	if err != nil {
		return nil, err
	}
	name := hexOf(config) + ".json"
	if err := put(name, config); err != nil {
		return nil, err
	}
	return map[string]any{"Config": name, "RepoTags": i.Tags, "Layers": names}, nil
}

func hexOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
