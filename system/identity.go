package system

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gantry/internal/atomicfile"
)

// Identity is who this engine is, for as long as its data root exists.
type Identity struct {
	ID    string // what docker info shows; a UUID, unless an older dockerd has made it
	Trust string // directory of key material, for root alone
}

// maxID bounds an ID in bytes; dockerd's have 36 or 59.
const maxID = 256

// Identify reads the identity from a data root, or makes one. Errors: the data root cannot be read or written.
func Identify(_ context.Context, root string) (Identity, error) {
	trust := filepath.Join(root, "trust")
	if err := os.MkdirAll(trust, 0o700); err != nil {
		return Identity{}, err
	}
	if err := os.Chmod(trust, 0o700); err != nil {
		return Identity{}, err
	}
	file := filepath.Join(root, "engine-id")
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Identity{}, err
	}
	if id := strings.TrimSpace(string(data)); id != "" && len(id) <= maxID {
		return Identity{ID: id, Trust: trust}, nil
	}
	id := newID()
	if err := atomicfile.Write(file, []byte(id), 0o600); err != nil {
		return Identity{}, fmt.Errorf("engine-id: %w", err)
	}
	return Identity{ID: id, Trust: trust}, nil
}

// newID is a random UUID, version 4 of RFC 9562.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
