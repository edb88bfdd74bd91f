// Package store keeps which networks there are.
//
// Its file and the schema of it are Docker's, so that either engine can open what the other has left.
package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"gantry/network/sandbox"

	bolt "go.etcd.io/bbolt"
)

// Schema of network/files/local-kv.db in the data root:
//
//	libnetwork
//	├─ docker/network/v1.0/network/<id>/         Record
//	├─ docker/network/v1.0/endpoint_count/<id>/  endpoints in the network, for engines that look
//	└─ docker/network/v1.0/bridge/<id>/          what dockerd's bridge driver wants to know; written, never read
//
// Every value is JSON after the number of its last change, 8 bytes, little endian. What else an engine has stored stays.
const (
	bucket       = "libnetwork"
	networkKeys  = "docker/network/v1.0/network/"
	endpointKeys = "docker/network/v1.0/endpoint_count/"
	bridgeKeys   = "docker/network/v1.0/bridge/"
	numberSize   = 8
)

// Store is the file. It is open only while it is read or written. Safe for concurrent use: bbolt locks the file.
type Store struct{ path string }

// Open makes the directory of the file.
func Open(root string) (*Store, error) {
	dir := filepath.Join(root, "network", "files")
	return &Store{filepath.Join(dir, "local-kv.db")}, os.MkdirAll(dir, 0o750)
}

// Load returns all records, in no order. One that cannot be read is left out, for the others are not stopped by it.
func (s *Store) Load() ([]Record, error) {
	var found []Record
	err := s.with(func(db *bolt.DB) error {
		return db.View(func(tx *bolt.Tx) error { found = read(tx); return nil })
	})
	return found, err
}

// Put adds or replaces records, durably, all or none.
func (s *Store) Put(records ...Record) error {
	return s.update(func(b *bolt.Bucket) error {
		var errs []error
		for _, r := range records {
			errs = append(errs, put(b, networkKeys+r.ID+"/", r.encode()), put(b, endpointKeys+r.ID+"/", map[string]int{"Count": 0}))
			if r.Bridge != nil {
				errs = append(errs, put(b, bridgeKeys+r.ID+"/", r.Bridge))
			}
		}
		return errors.Join(errs...)
	})
}

// Delete removes a record, durably. One that is not there is not an error.
func (s *Store) Delete(id string) error {
	return s.update(func(b *bolt.Bucket) error {
		return errors.Join(b.Delete([]byte(networkKeys+id+"/")), b.Delete([]byte(endpointKeys+id+"/")), b.Delete([]byte(bridgeKeys+id+"/")))
	})
}

// New returns a record with a new ID.
func New(name, driver string) Record {
	return Record{ID: sandbox.NewID(), Name: name, Driver: driver, Created: time.Now().UTC(), IPv4: true}
}

func (s *Store) update(change func(*bolt.Bucket) error) error {
	return s.with(func(db *bolt.DB) error {
		return db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte(bucket))
			if err != nil {
				return err
			}
			return change(b)
		})
	})
}

func (s *Store) with(f func(*bolt.DB) error) error {
	db, err := bolt.Open(s.path, 0o600, &bolt.Options{Timeout: 10 * time.Second})
	if err == nil {
		err = errors.Join(f(db), db.Close())
	}
	if err != nil {
		return fmt.Errorf("networks in %s: %w", s.path, err)
	}
	return nil
}

func read(tx *bolt.Tx) []Record {
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return nil
	}
	var found []Record
	c := b.Cursor()
	for k, v := c.Seek([]byte(networkKeys)); len(k) > len(networkKeys) && string(k[:len(networkKeys)]) == networkKeys; k, v = c.Next() {
		r, err := decode(v)
		if err != nil {
			slog.Warn("record of a network cannot be read", "key", string(k), "err", err)
			continue
		}
		found = append(found, r)
	}
	return found
}

func put(b *bolt.Bucket, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	number, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put([]byte(key), append(binary.LittleEndian.AppendUint64(nil, number), data...))
}

func decode(value []byte) (Record, error) {
	if len(value) < numberSize {
		return Record{}, fmt.Errorf("%d bytes", len(value))
	}
	var d onDisk
	if err := json.Unmarshal(value[numberSize:], &d); err != nil {
		return Record{}, err
	}
	if len(d.ID) != 64 {
		return Record{}, fmt.Errorf("ID %q", d.ID)
	}
	return d.record()
}
