package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"gantry/task/protocol"
)

// operation is what the runtime was asked for, in the words that clients of dockerd see.
type operation string

const (
	creating  operation = "failed to create task for container: failed to create shim task: OCI runtime create failed: %s create failed: unable to start container process: %s: unknown"
	executing operation = "OCI runtime exec failed: exec failed: unable to start container process: %[2]s: unknown"
)

// Exit codes of a command that was not run, as shells and dockerd have them.
const (
	codeNotInvocable = 126
	codeNotFound     = 127
	codeRefused      = 128 // dockerd: the container could not be created
)

// tailSize is how much of a runtime's output is read, in bytes.
const tailSize = 16 << 10

// refusal is the error of a runtime that did not start a process.
func refusal(what operation, r protocol.Runtime, log []byte, argv0 string) *protocol.Error {
	return refusedBy(what, r, translate(wordsOf(log), argv0))
}

func refusedBy(what operation, r protocol.Runtime, words string) *protocol.Error {
	return &protocol.Error{
		Class:    "invalid argument",
		Text:     fmt.Sprintf(string(what), r.Name, words),
		ExitCode: exitCode(words),
	}
}

// Refused is the error of an exec that was refused, in words that clients know, without the runtime.
func Refused(r protocol.Runtime, words string) *protocol.Error {
	return refusedBy(executing, r, words)
}

// exitCode is what dockerd makes of the words.
func exitCode(words string) int {
	lower := strings.ToLower(words)
	for _, s := range []string{"executable file not found", "no such file or directory", "system cannot find the file specified"} {
		if strings.Contains(lower, s) {
			return codeNotFound
		}
	}
	for _, s := range []string{"permission denied", "not a directory", "is a directory"} {
		if strings.Contains(lower, s) {
			return codeNotInvocable
		}
	}
	return codeRefused
}

// notInPath is how crun says that there is no such executable, for names and for paths.
var notInPath = regexp.MustCompile("^executable file [`'](.*)[`'] not found(?: in \\$PATH)?(?:: No such file or directory)?$")

// translate puts crun's words for what users do wrong into those of runc, which clients know.
func translate(words, argv0 string) string {
	if m := notInPath.FindStringSubmatch(words); m != nil {
		if strings.Contains(m[1], "/") {
			return fmt.Sprintf("exec: %q: stat %s: no such file or directory", m[1], m[1])
		}
		return fmt.Sprintf("exec: %q: executable file not found in $PATH", m[1])
	}
	switch words {
	case "open executable: Permission denied":
		return fmt.Sprintf("exec: %q: permission denied", argv0)
	case "open executable: Operation not permitted": // crun 1.8 for anything that is no regular file
		return fmt.Sprintf("exec: %q: is a directory: permission denied", argv0)
	case "open executable: Not a directory":
		return fmt.Sprintf("exec: %q: stat %s: not a directory", argv0, argv0)
	case "open executable: No such file or directory":
		return fmt.Sprintf("exec: %q: stat %s: no such file or directory", argv0, argv0)
	}
	return words
}

// wordsOf finds what the runtime complained of last, in plain text or in JSON lines.
func wordsOf(log []byte) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		var entry struct {
			Msg   string `json:"msg"`
			Level string `json:"level"`
		}
		if !strings.HasPrefix(line, "{") {
			if line != "" {
				return line
			}
			continue
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "error" {
			return strings.TrimPrefix(entry.Msg, "runc create failed: ")
		}
	}
	return "the runtime gave no reason"
}

func readTail(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil // it wrote no log: that it failed is known all the same
	}
	data, err := tail(f)
	if errors.Join(err, f.Close()) != nil {
		return nil
	}
	return data
}

// tail reads the end of a file.
func tail(f *os.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, st.Size()-tailSize)
	return io.ReadAll(io.NewSectionReader(f, from, tailSize))
}
