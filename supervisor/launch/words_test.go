package launch

import (
	"testing"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

func TestWordsOfRuntimes(t *testing.T) {
	crun := protocol.Runtime{Name: "crun", Kind: protocol.KindCrun}
	runc := protocol.Runtime{Name: "runc", Kind: protocol.KindRunc}
	const prefix = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
	for _, c := range []struct {
		runtime protocol.Runtime
		what    operation
		log     string
		want    string
		code    int
	}{
		{crun, creating, "executable file `x` not found in $PATH: No such file or directory\n",
			prefix + `crun create failed: unable to start container process: exec: "x": executable file not found in $PATH: unknown`, 127},
		{crun, executing, "executable file `/x/y` not found in $PATH: No such file or directory\n",
			`OCI runtime exec failed: exec failed: unable to start container process: exec: "/x/y": stat /x/y: no such file or directory: unknown`, 127},
		{crun, executing, "chdir `/nowhere`: No such file or directory",
			"OCI runtime exec failed: exec failed: unable to start container process: chdir `/nowhere`: No such file or directory: unknown", 127},
		{crun, creating, "open executable: Permission denied",
			prefix + `crun create failed: unable to start container process: exec: "arg": permission denied: unknown`, 126},
		{runc, creating, `{"level":"warning","msg":"w"}` + "\n" + `{"level":"error","msg":"runc create failed: unable to apply cgroup configuration","time":"t"}` + "\n",
			prefix + "runc create failed: unable to start container process: unable to apply cgroup configuration: unknown", 128},
		{runc, creating, "", prefix + "runc create failed: unable to start container process: the runtime gave no reason: unknown", 128},
	} {
		err := refusal(c.what, c.runtime, []byte(c.log), "arg")
		if err.Error() != c.want || err.ExitCode != c.code || !errdefs.IsInvalidArgument(err) {
			t.Errorf("%d %v\nwant %d %s", err.ExitCode, err, c.code, c.want)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add([]byte(`{"level":"error","msg":"x"}`))
	f.Add([]byte("executable file `x` not found in $PATH"))
	f.Fuzz(func(t *testing.T, log []byte) {
		if words := translate(wordsOf(log), "a"); words == "" {
			t.Errorf("no words of %q", log)
		}
	})
}
