package store

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
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
	s, err := Open(root)
	if err == nil {
		_, err = s.Load() // makes the file
	}
	if err != nil {
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
	all, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Record{}
	for _, r := range all {
		got[r.Name] = r
	}
	if g := got["bridge"].Given; len(g) != 1 || g[0].Subnet.String() != "172.17.0.0/16" || g[0].Gateway.String() != "172.17.0.1" || got["bridge"].Options["com.docker.network.bridge.name"] != "docker0" {
		t.Errorf("%+v", got["bridge"])
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
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	made := New("host", "host")
	if err := s.Put(made); err != nil {
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
		if got, want := fields(b.Get([]byte(networkKeys+made.ID+"/"))), fields(theirs); true {
			delete(got, "enableIPv4") // of 28.0
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		}
		if count := b.Get([]byte(endpointKeys + made.ID + "/")); len(count) < numberSize || string(count[numberSize:]) != `{"Count":0}` {
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

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	r := New("web", "bridge")
	r.Options, r.Labels = map[string]string{"com.docker.network.driver.mtu": "1400"}, map[string]string{"a": "b"}
	r.IPv6, r.Internal, r.Attachable, r.IPAMDriver = true, true, true, "default"
	r.Asked = []Pool{{Subnet: netip.MustParsePrefix("10.5.0.0/16"), Range: netip.MustParsePrefix("10.5.1.0/24"), Aux: map[string]netip.Addr{"router": netip.MustParseAddr("10.5.1.9")}}}
	r.Given = []Pool{
		{Subnet: r.Asked[0].Subnet, Range: r.Asked[0].Range, Gateway: netip.MustParseAddr("10.5.1.0"), Aux: r.Asked[0].Aux},
		{Subnet: netip.MustParsePrefix("fd00:1::/64"), Gateway: netip.MustParseAddr("fd00:1::1"), Aux: map[string]netip.Addr{}},
	}
	s, err := Open(t.TempDir())
	if err == nil {
		err = s.Put(r, New("other", "macvlan"))
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Load()
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	at := slices.IndexFunc(all, func(r Record) bool { return r.Name == "web" })
	if !reflect.DeepEqual(all[at], r) {
		t.Errorf("%+v\nbecame\n%+v", r, all[at])
	}
	for range 2 {
		if err := s.Delete(r.ID); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := s.Load(); err != nil || len(all) != 1 || all[0].Name != "other" {
		t.Fatal(all, err)
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
