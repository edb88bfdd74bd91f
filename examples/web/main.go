// Command web is the web server that `make demo` runs in a container: one page that says who serves it.
//
// Build it with CGO_ENABLED=0, and it is an image by itself: nothing else is needed in the root file system.
package main

import (
	"context"
	"errors"
	"html/template"
	"log"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

const address = ":8080"

// grace is how long open requests may take after SIGTERM: less than the 10 s after which an engine kills.
const grace = 5 * time.Second

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Hello from {{.Host}}</title></head>
<body>
<h1>Hello from {{.Host}}</h1>
<p>Process {{.Pid}} of {{.OS}}/{{.Arch}}, up for {{.Up}}, you are {{.Client}}.</p>
</body>
</html>
`))

func main() {
	host, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	began := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err := page.Execute(w, map[string]any{
			"Host": host, "Pid": os.Getpid(), "OS": runtime.GOOS, "Arch": runtime.GOARCH,
			"Up": time.Since(began).Round(time.Millisecond), "Client": r.RemoteAddr,
		})
		if err != nil {
			log.Print(err)
		}
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	serve(&http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second})
}

// serve returns after SIGTERM or SIGINT, when the open requests are answered.
func serve(server *http.Server) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		_ = server.Shutdown(ctx)
	}()
	log.Printf("listening on %s", server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-done
}
