package stats

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// psTimeout bounds a run of ps: it hangs on a process whose memory is locked.
const psTimeout = 30 * time.Second

const pidTitle = "PID"

// hostTop runs the host's ps and keeps the rows of these processes.
func hostTop(ctx context.Context, args string, pids []int) (*container.TopResponse, error) {
	list := make([]string, len(pids))
	for i, pid := range pids {
		list[i] = strconv.Itoa(pid)
	}
	words := strings.Split(args, " ")
	// Some options, such as f, do not go together with -q.
	output, err := runPs(ctx, append(slices.Clone(words), "-q"+strings.Join(list, ",")))
	if err != nil {
		output, err = runPs(ctx, words)
	}
	if err != nil {
		return nil, psError(err)
	}
	return parsePs(output, pids)
}

func runPs(ctx context.Context, args []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, psTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ps", args...)
	// Without COLUMNS, which would cut commands, and the like.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=" + os.Getenv("TZ"), "LC_ALL=C"}
	if os.Getenv("TZ") == "" {
		cmd.Env = slices.Delete(cmd.Env, 1, 2)
	}
	output, err := cmd.Output()
	return string(output), err
}

// psError is the first line of what ps says against its arguments.
func psError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if line, _, _ := strings.Cut(string(exit.Stderr), "\n"); line != "" {
			return errdefs.ErrInternal.WithMessage(line)
		}
	}
	return errdefs.ErrInternal.WithMessage("Error running ps: " + err.Error())
}

// parsePs keeps the rows of these processes, and rows of their threads, which have "-" for a pid. What is more in a row than there are
// titles belongs to the last column, a command.
func parsePs(output string, pids []int) (*container.TopResponse, error) {
	first, rest, _ := strings.Cut(output, "\n")
	titles := fieldsASCII(first)
	column := slices.Index(titles, pidTitle)
	if column < 0 {
		return nil, errNoPid()
	}
	top := &container.TopResponse{Titles: titles, Processes: [][]string{}}
	ours := false
	for line := range strings.Lines(rest) {
		fields := fieldsASCII(line)
		if len(fields) <= column {
			continue
		}
		if fields[column] != "-" {
			pid, err := strconv.Atoi(fields[column])
			if err != nil {
				return nil, errdefs.ErrInternal.WithMessage("Unexpected pid '" + fields[column] + "': " + err.Error())
			}
			ours = slices.Contains(pids, pid)
		}
		if !ours {
			continue
		}
		if last := len(titles) - 1; len(fields) > last {
			fields = append(fields[:last:last], strings.Join(fields[last:], " "))
		}
		top.Processes = append(top.Processes, fields)
	}
	return top, nil
}
