package host

import (
	"reflect"
	"strings"
	"testing"
)

func TestSubIDsOfAUser(t *testing.T) {
	all, err := parseSubIDs([]byte("# comment\n\nother:1:5\ndock:200000:10\n1000:100000:65536\ndock:165536:4\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := all.Of("dock", 1000)
	want := []IDMap{{0, 100000, 65536}, {65536, 165536, 4}, {65540, 200000, 10}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if id, ok := ToHost(got, 65541); !ok || id != 200001 {
		t.Errorf("65541 is %d, %v", id, ok)
	}
	if _, ok := ToHost(got, 70000); ok {
		t.Error("70000 is mapped")
	}
	if _, err := all.Of("nobody", 65534); err == nil {
		t.Error("a user without ranges has a mapping")
	}
}

func TestSubIDsThatCannotBe(t *testing.T) {
	for _, bad := range []string{"a:1", "a:x:1", "a:1:x", ":1:1", "a:1:0", "a:4294967295:2", "a:-1:5", "a:1:2:3"} {
		if all, err := parseSubIDs([]byte(bad)); err == nil {
			t.Errorf("%q is %v", bad, all)
		} else if !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	all, err := parseSubIDs([]byte("a:100:10\na:105:10\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all.Of("a", 1); err == nil {
		t.Error("ranges overlap")
	}
}

func FuzzSubIDs(f *testing.F) {
	f.Add([]byte("a:100:10\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseSubIDs(data)
		if err != nil {
			return
		}
		for _, r := range all {
			maps, err := all.Of(r.owner, -1)
			if err != nil {
				continue
			}
			end := 0
			for _, m := range maps {
				if m.Inside != end || m.Size <= 0 || m.Host < 0 || m.Host+m.Size > maxID {
					t.Fatalf("mapping %v of %q", maps, data)
				}
				end += m.Size
			}
		}
	})
}

func FuzzOSRelease(f *testing.F) {
	f.Add([]byte("PRETTY_NAME=\"a\\\"\"\nVERSION_ID='1'"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if parseOS(data).Name == "" {
			t.Fatalf("%q has no name", data)
		}
	})
}
