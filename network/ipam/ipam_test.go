package ipam

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

// TestAddressesAreHandedOutOnce plays random histories against a plain list of who has what.
func TestAddressesAreHandedOutOnce(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		prefix := netip.PrefixFrom(netip.MustParseAddr("10.1.2.0"), 24+r.IntN(7))
		gateway := prefix.Addr().Next()
		s, err := New(prefix, netip.Prefix{}, gateway)
		if err != nil {
			t.Fatal(err)
		}
		room := 1<<(32-prefix.Bits()) - 3 // network, broadcast, gateway
		var held []netip.Addr
		for range 500 {
			switch {
			case r.IntN(3) > 0:
				a, err := s.Next()
				if len(held) == room {
					if !errdefs.IsResourceExhausted(err) {
						t.Fatalf("seed %d: got %s, %v of a full subnet", seed, a, err)
					}
					continue
				}
				if err != nil || !prefix.Contains(a) || a == gateway || slices.Contains(held, a) {
					t.Fatalf("seed %d: got %s, %v while %v are held", seed, a, err, held)
				}
				held = append(held, a)
			case len(held) > 0:
				i := r.IntN(len(held))
				if err := s.Claim(held[i]); !errdefs.IsConflict(err) {
					t.Fatalf("seed %d: a held address was claimed: %v", seed, err)
				}
				s.Release(held[i])
				if r.IntN(2) == 0 {
					if err := s.Claim(held[i]); err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					continue
				}
				held = slices.Delete(held, i, i+1)
			}
		}
	}
}

func TestReleasedAddressComesLast(t *testing.T) {
	s, err := New(netip.MustParsePrefix("10.0.0.0/29"), netip.Prefix{}, netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 8 {
		a, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.String())
		s.Release(a)
	}
	want := []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4"}
	if !slices.Equal(got, want) {
		t.Fatal(got)
	}
}

func TestRangeBoundsWhatIsChosen(t *testing.T) {
	s, err := New(netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("10.0.5.0/30"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10.0.5.0", "10.0.5.1", "10.0.5.2", "10.0.5.3"} {
		if a, err := s.Next(); err != nil || a.String() != want {
			t.Fatal(a, err)
		}
	}
	if _, err := s.Next(); !errdefs.IsResourceExhausted(err) {
		t.Fatal(err)
	}
	if err := s.Claim(netip.MustParseAddr("10.0.9.9")); err != nil {
		t.Fatal(err)
	}
	if err := s.Claim(netip.MustParseAddr("10.1.0.1")); !errdefs.IsInvalidArgument(err) {
		t.Fatal(err)
	}
	if _, err := New(netip.MustParsePrefix("10.0.0.0/16"), netip.MustParsePrefix("10.1.0.0/24")); !errdefs.IsInvalidArgument(err) {
		t.Fatal(err)
	}
}

func TestWholeOfTheLastNetworkCanBeSearched(t *testing.T) {
	s, err := New(netip.MustParsePrefix("255.255.255.252/30"), netip.Prefix{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Next(); !errdefs.IsResourceExhausted(err) {
		t.Fatal(err)
	}
}

func TestSplit(t *testing.T) {
	var got []string
	for p := range Split(netip.MustParsePrefix("192.168.0.0/16"), 18) {
		got = append(got, p.String())
	}
	if !slices.Equal(got, []string{"192.168.0.0/18", "192.168.64.0/18", "192.168.128.0/18", "192.168.192.0/18"}) {
		t.Fatal(got)
	}
	for p := range Split(netip.MustParsePrefix("192.168.0.0/16"), 8) {
		t.Fatal(p)
	}
}
