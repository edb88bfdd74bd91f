package supervisor

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gantry/task/protocol"
)

func TestBrokenRecordHidesNoOther(t *testing.T) {
	s, err := openStore(filepath.Join(t.TempDir(), "tasks"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write(record{ID: "good", Run: 7, Pid: 42}); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"cut.json": `{"id":"cu`, "other.json": `{"id":"good"}`, ".tmp-x.json": `x`} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.all()
	if err == nil || len(all) != 1 || all[0].ID != "good" || all[0].Run != 7 {
		t.Errorf("%+v %v", all, err)
	}
	if err := s.remove("good"); err != nil {
		t.Fatal(err)
	}
	if err := s.remove("good"); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

func TestExitOfAnotherRunIsNotThisOnes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "exit.json")
	e := protocol.Exit{ID: "x", Run: 3, Code: 9, At: time.Now().UTC().Round(0)}
	if err := writeExit(path, e); err != nil {
		t.Fatal(err)
	}
	if got := readExit(path, 3); got == nil || *got != e {
		t.Errorf("%+v", got)
	}
	if got := readExit(path, 4); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestGateWaitsForThoseInside(t *testing.T) {
	var g gate
	leave := g.enter()
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := g.close(soon); err == nil {
		t.Fatal("closed over somebody inside")
	}
	leave()
	if err := g.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	inside := make(chan struct{})
	go func() {
		defer g.enter()()
		close(inside)
	}()
	select {
	case <-inside:
		t.Fatal("entered a closed gate")
	default:
	}
	g.open()
	<-inside
}
