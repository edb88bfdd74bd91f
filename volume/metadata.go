package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var bucket = []byte("volumes")

// record is the JSON of one volume, with Docker's names.
type record struct {
	Name    string
	Driver  string
	Labels  map[string]string
	Options map[string]string
}

// metadata is metadata.db. A change is durable when its method returns.
type metadata struct{ db *bbolt.DB }

func openMetadata(path string) (*metadata, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s is in use by another engine", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &metadata{db: db}, nil
}

func (m *metadata) close() error { return m.db.Close() }

func (m *metadata) put(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return m.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put([]byte(r.Name), data) })
}

func (m *metadata) remove(name string) error {
	return m.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Delete([]byte(name)) })
}

// all returns every record by name. One that cannot be read counts as a local volume without labels.
func (m *metadata) all() (map[string]record, error) {
	out := map[string]record{}
	err := m.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(name, data []byte) error {
			var r record
			if err := json.Unmarshal(data, &r); err != nil || r.Driver == "" {
				r.Driver = localDriver
			}
			if checkName(string(name)) == nil || r.Driver != localDriver {
				out[string(name)] = r
			}
			return nil
		})
	})
	return out, err
}
