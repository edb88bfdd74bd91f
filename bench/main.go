// Command bench measures gantry against dockerd, side by side on one machine in one run.
//
// A row is one question: what does this cost? A side is one of the two engines. A row is measured on both sides in
// turn, so that whatever else the machine does hits both, and the report gives medians and their ratio. Both engines run in
// namespaces and on data roots of their own; dockerd is Debian's docker.io, installed if it is missing.
//
//	go run ./bench            the whole table, about ten minutes
//	go run ./bench -quick     fewer rounds and containers
//	go run ./bench -only exec,life
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"gantry/internal/testkit"
)

func main() {
	quick := flag.Bool("quick", false, "fewer rounds and containers: minutes instead of tens of them")
	only := flag.String("only", "", "names of the rows to measure, as regular expressions separated by commas")
	out := flag.String("o", "", "write the report to this file too")
	engines := flag.String("engines", "dockerd,gantryd", "the engines to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, options{quick: *quick, only: *only, out: *out, engines: strings.Split(*engines, ",")})
	stop()
	testkit.Cleanup()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	quick     bool
	only, out string
	engines   []string
}

func run(ctx context.Context, o options) error {
	rows, err := choose(allRows(o.quick), o.only)
	if err != nil {
		return err
	}
	sides, err := startSides(ctx, o.engines)
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range sides {
			s.close()
		}
	}()
	var report strings.Builder
	w := io.MultiWriter(os.Stdout, &report)
	writeHead(w, sides)
	for _, r := range rows {
		if err := ctx.Err(); err != nil {
			return err
		}
		writeRow(w, r, measure(ctx, r, sides))
	}
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(report.String()), 0o644)
}

// choose keeps the rows whose name matches one of the expressions.
func choose(rows []row, only string) ([]row, error) {
	if only == "" {
		return rows, nil
	}
	re, err := regexp.Compile(strings.ReplaceAll(only, ",", "|"))
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	var out []row
	for _, r := range rows {
		if re.MatchString(r.name) {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("-only %s: no such row", only)
	}
	return out, nil
}
