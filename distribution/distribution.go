// Package distribution moves images between registries and the content store.
//
// A registry serves repositories; a repository ("docker.io/library/busybox") holds manifests by tag
// and digest, and blobs by digest. A remote is one host that serves a repository: the registry itself, or a mirror
// of it that is asked first. A transfer is the way of one blob from a remote to the content store; pulls that want the same blob at
// the same time share it, and it ends with the last of them. An ingest is what has arrived of a blob; it survives
// the daemon, and the next transfer goes on where it ends.
//
// Nothing that a registry says is believed before its digest and size are: manifests before they are parsed, layers
// before they are committed. Credentials go to the registry that they are for and to the token service that this registry names, and
// follow no redirect.
//
// The package keeps no names: the image room is told what was pulled, and asked what is to be pushed.
package distribution

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
)

// CertsDir is where the operator describes registries: a directory for each HOST[:PORT], with hosts.toml, or with *.crt, *.cert and *.key.
const CertsDir = "/etc/docker/certs.d"

// Settings can change while the daemon runs.
type Settings struct {
	Mirrors       []string // URLs, asked before Docker Hub
	Insecure      []string // HOST[:PORT] or networks: plain HTTP, and certificates that nobody vouches for
	MaxDownloads  int      // blobs at a time; 0 for 3
	MaxUploads    int      // blobs at a time; 0 for 5
	Attempts      int      // of a download, without progress; 0 for 5
	HTTP, HTTPS   string   // proxies; "" for none
	NoProxy       string
	AllowUploaded []string // registries that layers which must not be passed on are pushed to
}

// Config names what the room stands on.
type Config struct {
	Store  Store
	Layers Layers
	Images Images
	Settings
	CertsDir  string        // "" for CertsDir
	UserAgent string        // "" for "gantry"
	Stall     time.Duration // within which a registry has to send something; 0 for 30 s
	Pause     time.Duration // before the first retry, doubled for each further one; 0 for 500 ms
	Hub       string        // URL of the search service of docker.io; "" for Docker's
	Log       *slog.Logger  // nil for slog.Default
}

// Progress receives the messages of a pull or push, in Docker's words. It may be called from several goroutines.
type Progress func(jsonstream.Message)

// Service talks to registries. Safe for concurrent use.
type Service struct {
	cfg       Config
	hosts     atomic.Pointer[directory]
	attempts  atomic.Int64
	downloads *limiter
	uploads   *limiter
	transfers *transfers
	closeOnce sync.Once
}

// Open opens the registry client. It connects to nothing.
func Open(_ context.Context, cfg Config) (*Service, error) {
	if cfg.CertsDir == "" {
		cfg.CertsDir = CertsDir
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "gantry"
	}
	if cfg.Stall == 0 {
		cfg.Stall = 30 * time.Second
	}
	if cfg.Pause == 0 {
		cfg.Pause = 500 * time.Millisecond
	}
	if cfg.Hub == "" {
		cfg.Hub = "https://index.docker.io/v1/"
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s := &Service{cfg: cfg, downloads: newLimiter(), uploads: newLimiter()}
	s.transfers = newTransfers(s)
	s.Reload(context.Background(), cfg.Settings)
	return s, nil
}

// Reload applies settings, and forgets what was read from CertsDir. Operations under way keep their connections.
func (s *Service) Reload(_ context.Context, set Settings) {
	s.downloads.resize(orDefault(set.MaxDownloads, 3))
	s.uploads.resize(orDefault(set.MaxUploads, 5))
	s.attempts.Store(int64(orDefault(set.Attempts, 5)))
	if old := s.hosts.Swap(newDirectory(&s.cfg, set)); old != nil {
		old.closeIdle()
	}
}

// Close ends all transfers and waits for them. Idempotent.
func (s *Service) Close(ctx context.Context) error {
	var err error
	s.closeOnce.Do(func() {
		err = s.transfers.close(ctx)
		s.hosts.Load().closeIdle()
	})
	return err
}

func orDefault(n, instead int) int {
	if n > 0 {
		return n
	}
	return instead
}
