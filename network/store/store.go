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
//	└─ docker/network/v1.0/endpoint_count/<id>/  endpoints in the network, for engines that look
//
// Every value is JSON after the number of its last change, 8 bytes, little endian. What else an engine has stored stays.
const (
	bucket       = "libnetwork"
	networkKeys  = "docker/network/v1.0/network/"
	endpointKeys = "docker/network/v1.0/endpoint_count/"
	numberSize   = 8
)

// Record is what is kept of a network.
type Record struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Driver  string    `json:"networkType"`
	Created time.Time `json:"created"`

	complement
}

// complement is what dockerd wants to find in a record, and stops with a panic if it does not.
type complement struct {
	AddressSpace     string            `json:"addrSpace"`
	Attachable       bool              `json:"attachable"`
	ConfigFrom       string            `json:"configFrom"`
	ConfigOnly       bool              `json:"configOnly"`
	IPv6             bool              `json:"enableIPv6"`
	Generic          map[string]any    `json:"generic"`
	InDelete         bool              `json:"inDelete"`
	Ingress          bool              `json:"ingress"`
	Internal         bool              `json:"internal"`
	IPAMOptions      map[string]string `json:"ipamOptions"`
	IPAMDriver       string            `json:"ipamType"`
	Labels           map[string]string `json:"labels"`
	LoadBalancerIP   string            `json:"loadBalancerIP"`
	LoadBalancerMode string            `json:"loadBalancerMode"`
	Persist          bool              `json:"persist"`
	PostIPv6         bool              `json:"postIPv6"`
	Scope            string            `json:"scope"`
}

// drivers are those of the default networks, by name.
func drivers() map[string]string {
	return map[string]string{"bridge": "bridge", "host": "host", "none": "null"}
}

// Load returns the records of the named networks, which are default ones; those that are not there yet are made,
// durably. The records of another engine count.
func Load(root string, names ...string) (map[string]Record, error) {
	dir := filepath.Join(root, "network", "files")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "local-kv.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 10 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	var found map[string]Record
	err = db.View(func(tx *bolt.Tx) error { found = read(tx, names); return nil })
	if err == nil && len(found) < len(names) {
		err = db.Update(func(tx *bolt.Tx) error { return add(tx, found, names) })
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return nil, fmt.Errorf("networks in %s: %w", path, err)
	}
	return found, nil
}

// read leaves out what it cannot read: a default network can be made anew, and the others are not stopped by it.
func read(tx *bolt.Tx, names []string) map[string]Record {
	found := map[string]Record{}
	b := tx.Bucket([]byte(bucket))
	if b == nil {
		return found
	}
	c := b.Cursor()
	for k, v := c.Seek([]byte(networkKeys)); len(k) > len(networkKeys) && string(k[:len(networkKeys)]) == networkKeys; k, v = c.Next() {
		r, err := decode(v)
		if err != nil {
			slog.Warn("record of a network cannot be read", "key", string(k), "err", err)
			continue
		}
		for _, name := range names {
			if _, twice := found[name]; !twice && r.Name == name && r.Driver == drivers()[name] {
				found[name] = r
			}
		}
	}
	return found
}

func add(tx *bolt.Tx, found map[string]Record, names []string) error {
	b, err := tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := found[name]; ok {
			continue
		}
		r := Record{ID: sandbox.NewID(), Name: name, Driver: drivers()[name], Created: time.Now().UTC(), complement: complement{
			Generic:    map[string]any{"com.docker.network.generic": map[string]string{}},
			IPAMDriver: "default", LoadBalancerMode: "NAT", Persist: true, Scope: "local",
		}}
		if err := errors.Join(put(b, networkKeys+r.ID+"/", r), put(b, endpointKeys+r.ID+"/", map[string]int{"Count": 0})); err != nil {
			return err
		}
		found[name] = r
	}
	return nil
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
	var r Record
	if err := json.Unmarshal(value[numberSize:], &r); err != nil {
		return Record{}, err
	}
	if len(r.ID) != 64 {
		return Record{}, fmt.Errorf("ID %q", r.ID)
	}
	return r, nil
}
