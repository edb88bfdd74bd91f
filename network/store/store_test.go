package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// docker is what dockerd 20.10 keeps, values in hexadecimal.
func docker(t *testing.T) map[string]string {
	t.Helper()
	var entries map[string]string
	data, err := os.ReadFile("testdata/docker.json")
	if err == nil {
		err = json.Unmarshal(data, &entries)
	}
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestNetworksOfDockerAreTakenOver(t *testing.T) {
	entries := docker(t)
	entries[networkKeys+"0/"] = "00"
	entries[networkKeys+"1/"] = hex.EncodeToString([]byte("12345678{"))
	root := t.TempDir()
	if _, err := Load(root); err != nil { // makes the file
		t.Fatal(err)
	}
	path := filepath.Join(root, "network/files/local-kv.db")
	update(t, path, func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte("libnetwork"))
		for k, v := range entries {
			if err == nil {
				raw, _ := hex.DecodeString(v)
				err = b.Put([]byte(k), raw)
			}
		}
		return err
	})
	got, err := Load(root, "bridge", "host", "none")
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{
		"bridge": "f730cb1fb5c1f2c854656ca7cc2230b4348b0608f54ecdb97687a7cbc658c298",
		"host":   "d14c8a253368a11753b03bec45dae93b02f870b8064ef6146e46a6655d0f14eb",
		"none":   "7deca3d4895be6c1ee42318b72a894b29f82bfaf8681184300e87e6fc2bb84f7",
	} {
		if got[name].ID != id || got[name].Created.Year() != 2026 {
			t.Errorf("%s: %+v", name, got[name])
		}
	}
	update(t, path, func(tx *bolt.Tx) error {
		kept := map[string]string{}
		_ = tx.Bucket([]byte("libnetwork")).ForEach(func(k, v []byte) error { kept[string(k)] = hex.EncodeToString(v); return nil })
		if !reflect.DeepEqual(kept, entries) {
			t.Errorf("%v became %v", entries, kept)
		}
		return nil
	})
}

// dockerd panics at its start where a field is missing or of another type.
func TestRecordsHaveWhatDockerdLooksFor(t *testing.T) {
	root := t.TempDir()
	made, err := Load(root, "host")
	if err != nil {
		t.Fatal(err)
	}
	fields := func(value []byte) map[string]string {
		var all map[string]any
		if err := json.Unmarshal(value[numberSize:], &all); err != nil {
			t.Fatal(err)
		}
		types := map[string]string{}
		for name, v := range all {
			types[name] = fmt.Sprintf("%T", v)
		}
		return types
	}
	theirs, err := hex.DecodeString(docker(t)[networkKeys+"d14c8a253368a11753b03bec45dae93b02f870b8064ef6146e46a6655d0f14eb/"])
	if err != nil {
		t.Fatal(err)
	}
	update(t, filepath.Join(root, "network/files/local-kv.db"), func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if got, want := fields(b.Get([]byte(networkKeys+made["host"].ID+"/"))), fields(theirs); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if count := b.Get([]byte(endpointKeys + made["host"].ID + "/")); len(count) < numberSize || string(count[numberSize:]) != `{"Count":0}` {
			t.Errorf("endpoints %q", count)
		}
		return nil
	})
}

func update(t *testing.T, path string, f func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(f); err != nil {
		t.Fatal(err)
	}
}

func TestMissingNetworksAreMadeOnce(t *testing.T) {
	root := t.TempDir()
	first, err := Load(root, "host", "none")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(root, "host", "none", "bridge")
	if err != nil || second["host"].ID != first["host"].ID || second["none"].ID != first["none"].ID || len(second["bridge"].ID) != 64 {
		t.Fatalf("%+v, %+v, %v", first, second, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`12345678{"id":"d14c8a253368a11753b03bec45dae93b02f870b8064ef6146e46a6655d0f14eb","name":"host"}`))
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, value []byte) {
		if r, err := decode(value); err == nil && len(r.ID) != 64 {
			t.Errorf("%+v", r)
		}
	})
}
