package config

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Change is one option with its new value, in the words of the file.
type Change struct{ Option, Value string }

// Reloaded is what a reload came to.
type Reloaded struct {
	Config  *Config  // to use from now on
	Changed []Change // in effect at once
	Pending []Change // in the file, but only in effect after a restart
}

// Reload reads the file again, with the flags that the daemon was started with. Options that cannot change in a
// running daemon keep their values. c itself is not changed. Errors: as Load; then nothing changes.
func (c *Config) Reload() (*Reloaded, error) {
	next, err := Load(c.Program, c.args, c.env)
	if err != nil {
		return nil, err
	}
	r := &Reloaded{Config: next}
	var old []*option
	c.table().all(func(o *option) { old = append(old, o) })
	i := 0
	next.table().all(func(o *option) {
		was := old[i].value
		i++
		if o.value.String() == was.String() {
			return
		}
		change := Change{o.id(), o.text()}
		if o.reloadable {
			r.Changed = append(r.Changed, change)
			return
		}
		r.Pending = append(r.Pending, change)
		o.value.take(was)
	})
	// What follows from options that did not change did not change either.
	next.Serve, next.Containers.SystemdCgroup = c.Serve, c.Containers.SystemdCgroup
	next.File = c.File
	return r, nil
}

// Attributes are those of the daemon's reload event: every reloadable option with its value, as dockerd writes them.
func (c *Config) Attributes() map[string]string {
	runtimes := ""
	for _, entry := range c.sortedRuntimes() {
		if runtimes != "" {
			runtimes += " "
		}
		runtimes += entry
	}
	return map[string]string{
		"allow-nondistributable-artifacts": jsonList(c.Registry.Nondistributable),
		"debug":                            strconv.FormatBool(c.Log.Debug),
		"default-ipc-mode":                 c.Containers.IpcMode,
		"default-runtime":                  c.Runtimes.Default,
		"default-shm-size":                 strconv.FormatInt(c.Containers.ShmSize, 10),
		"features":                         fmt.Sprint(c.Features),
		"insecure-registries":              jsonList(c.Registry.Insecure),
		"labels":                           jsonList(c.Labels),
		"live-restore":                     strconv.FormatBool(c.LiveRestore),
		"max-concurrent-downloads":         strconv.Itoa(c.Registry.MaxDownloads),
		"max-concurrent-uploads":           strconv.Itoa(c.Registry.MaxUploads),
		"max-download-attempts":            strconv.Itoa(c.Registry.MaxDownloadRetries),
		"registry-mirrors":                 jsonList(c.Registry.Mirrors),
		"runtimes":                         runtimes,
		"shutdown-timeout":                 strconv.Itoa(seconds{&c.ShutdownTimeout}.toJSON().(int)),
	}
}

// jsonList is a list as the event has it; an empty one is [].
func jsonList(all []string) string {
	if len(all) == 0 {
		return "[]"
	}
	data, err := json.Marshal(all)
	if err != nil {
		return "[]" // strings always can be marshalled
	}
	return string(data)
}

// Describe is the whole configuration in the notation of the file, for the log; credentials are masked.
func (c *Config) Describe() string {
	out := map[string]any{}
	c.table().all(func(o *option) {
		keys := o.fileKeys()
		if len(keys) == 0 || o.later != "" || o.ignored != "" {
			return
		}
		v := o.value.toJSON()
		if o.secret {
			v = o.text()
		}
		out[keys[0]] = v
	})
	data, err := json.Marshal(out)
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(data)
}
