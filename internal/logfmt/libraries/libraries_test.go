package libraries

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"gantry/internal/logfmt"

	"github.com/sirupsen/logrus"
)

func TestMessagesOfLibrariesComeOneLevelLower(t *testing.T) {
	var b bytes.Buffer
	Redirect(slog.New(logfmt.New(&b, "text", slog.LevelDebug)))
	logrus.WithField("path", "/x").WithError(errors.New("no")).Warn("w")
	logrus.Info("i")
	logrus.Error("e")
	logrus.Debug("d")
	var got []string
	for line := range strings.Lines(b.String()) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		got = append(got, rest)
	}
	want := []string{`level=info msg="w" error=no path=/x`, `level=debug msg="i"`, `level=error msg="e"`}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}
