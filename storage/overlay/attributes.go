package overlay

import (
	"archive/tar"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// dropOverlayAttributes takes from a layer's files the extended attributes that
// steer overlayfs: a layer may not redirect or hide what is not its own.
func dropOverlayAttributes(h *tar.Header) (bool, error) {
	for key := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if ok && (strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")) {
			delete(h.PAXRecords, key)
		}
	}
	return true, nil
}

// syncFS makes everything below the file system of dir durable: one call for any number of files.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd()))), f.Close())
}
