package gantry

import (
	"os/exec"
	"strings"
	"testing"
)

// floors: a room imports only rooms on lower floors. Rooms that share a floor are strangers.
var floors = [][]string{
	{"internal"},
	{"config", "host"},
	{"storage", "distribution", "task", "supervisor", "logdriver", "events", "security", "metrics"},
	{"container", "image", "network", "volume"},
	{"system"},
	{"api"},
	{"daemon"},
	{"cmd", "examples", "integration", "bench"},
}

// exceptions are arrows between rooms on one floor, with the reason.
var exceptions = map[string]string{
	"supervisor task/protocol": "the two planes speak one protocol, and it is all that they share",
	"supervisor logdriver":     "the supervisor writes the logs",
	"supervisor network/dns":   "responders live on when gantryd is gone",
	"task logdriver":           "a task's log is part of what the supervisor is asked for",
}

func TestRoomsImportOnlyDownwards(t *testing.T) {
	floor := map[string]int{}
	for i, rooms := range floors {
		for _, r := range rooms {
			floor[r] = i
		}
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		from, ok := room(f[0])
		if !ok {
			continue
		}
		if _, known := floor[from]; !known {
			t.Errorf("%s is on no floor: add it to the table", from)
		}
		for _, imp := range f[1:] {
			to, ours := room(imp)
			if !ours || to == from || floor[to] < floor[from] || excepted(from, imp) {
				continue
			}
			t.Errorf("%s imports %s: floor %d must not see floor %d", f[0], imp, floor[from], floor[to])
		}
	}
}

func room(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, "gantry/")
	name, _, _ := strings.Cut(rest, "/")
	return name, ok
}

func excepted(from, imported string) bool {
	to := strings.TrimPrefix(imported, "gantry/")
	for arrow := range exceptions {
		room, allowed, _ := strings.Cut(arrow, " ")
		if room == from && (to == allowed || strings.HasPrefix(to, allowed+"/")) {
			return true
		}
	}
	return false
}
