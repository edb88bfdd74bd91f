package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gantry/network/sandbox"

	bolt "go.etcd.io/bbolt"
)

// record is what is kept of a network. Schema of network/files/local-kv.db: bucket "networks", name to record.
type record struct {
	ID      string
	Created time.Time
}

const networksBucket = "networks"

// loadRecords returns the records of the named networks; those that are not there yet are made, durably.
func loadRecords(root string, names ...string) (map[string]record, error) {
	dir := filepath.Join(root, "network", "files")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "local-kv.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	found, err := readRecords(db, names)
	if err == nil && len(found) < len(names) {
		err = db.Update(func(tx *bolt.Tx) error { return addRecords(tx, found, names) })
	}
	return found, errors.Join(err, db.Close())
}

func readRecords(db *bolt.DB, names []string) (map[string]record, error) {
	found := map[string]record{}
	return found, db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(networksBucket))
		if b == nil {
			return nil
		}
		for _, name := range names {
			var r record
			if data := b.Get([]byte(name)); data == nil {
				continue
			} else if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("record of network %s: %w", name, err)
			}
			found[name] = r
		}
		return nil
	})
}

func addRecords(tx *bolt.Tx, found map[string]record, names []string) error {
	b, err := tx.CreateBucketIfNotExists([]byte(networksBucket))
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := found[name]; ok {
			continue
		}
		r := record{ID: sandbox.NewID(), Created: time.Now().UTC()}
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := b.Put([]byte(name), data); err != nil {
			return err
		}
		found[name] = r
	}
	return nil
}
