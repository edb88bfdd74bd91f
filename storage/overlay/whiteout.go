package overlay

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Whiteouts of image layers: opencontainers image-spec, layer.md.
const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
	opaque         = "trusted.overlay.opaque"
)

// convertWhiteout makes overlayfs' whiteout from a layer's. A whiteout hides
// files of lower layers only: a file of the same layer and name stays, and a directory
// of that name becomes opaque.
func convertWhiteout(h *tar.Header, path string) (write bool, err error) {
	dir, base := filepath.Split(path)
	if base == whiteoutOpaque {
		return false, os.NewSyscallError("setxattr", unix.Lsetxattr(filepath.Clean(dir), opaque, []byte{'y'}, 0))
	}
	name, ok := strings.CutPrefix(base, whiteoutPrefix)
	if !ok {
		return true, nil
	}
	target := dir + name
	err = unix.Mknod(target, unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		if st, statErr := os.Lstat(target); statErr == nil && st.IsDir() {
			return false, os.NewSyscallError("setxattr", unix.Lsetxattr(target, opaque, []byte{'y'}, 0))
		}
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "mknod", Path: target, Err: err}
	}
	return false, os.Lchown(target, h.Uid, h.Gid)
}
