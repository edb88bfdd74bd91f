package config

import (
	"fmt"
	"io"
	"strings"
)

// helpWidth is the width of the help in characters, for terminals of 80 and for reading.
const helpWidth = 79

// WriteHelp writes the help of all options, by group.
func (c *Config) WriteHelp(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s [OPTIONS]\n\n", c.Program)
	wrap(&b, synopsis+" Its API, options and files are dockerd's.", "", helpWidth)
	b.WriteString("\n")
	wrap(&b, "A setting in the configuration file has the name of its flag, unless another one is told. It is in the file or "+
		"a flag, not both. Those marked \"Reloaded\" take effect when the daemon gets SIGHUP.", "", helpWidth)
	for _, g := range Default(c.Program).table() {
		fmt.Fprintf(&b, "\n%s:\n", g.title)
		for i := range g.options {
			g.options[i].writeHelp(&b)
		}
	}
	b.WriteString("\nEnvironment:\n")
	for _, v := range variables() {
		fmt.Fprintf(&b, "  %s\n", v.name)
		wrap(&b, v.help, "        ", helpWidth)
	}
	b.WriteString("\nSignals:\n")
	for _, v := range signals() {
		fmt.Fprintf(&b, "  %s\n", v.name)
		wrap(&b, v.help, "        ", helpWidth)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// synopsis is what the daemon is, in one sentence.
const synopsis = "Run containers, and serve the Docker Engine API for them."

func (o *option) writeHelp(b *strings.Builder) {
	switch {
	case o.name == "":
		fmt.Fprintf(b, "      %q in the configuration file\n", o.keys[0])
	case o.short != "":
		fmt.Fprintf(b, "  -%s, --%s", o.short, o.name)
	default:
		fmt.Fprintf(b, "      --%s", o.name)
	}
	if o.name != "" {
		if o.arg != "" {
			b.WriteString(" " + o.arg)
		}
		b.WriteString("\n")
	}
	wrap(b, o.help+o.facts(), "          ", helpWidth)
}

// facts are what the table knows beyond the help: values, default, key of the file.
func (o *option) facts() string {
	var out []string
	if len(o.choices) > 0 {
		out = append(out, "Values: "+strings.Join(o.choices, ", ")+".")
	}
	if d := o.defaultText(); d != "" {
		out = append(out, "Default: "+d+".")
	}
	if keys := o.fileKeys(); len(keys) > 0 && o.name != "" && keys[0] != o.name {
		out = append(out, fmt.Sprintf("In the file: %q.", keys[0]))
	}
	if o.reloadable {
		out = append(out, "Reloaded.")
	}
	if len(out) == 0 {
		return ""
	}
	return " " + strings.Join(out, " ")
}

// defaultText is the default as the help shows it; "" for one that says nothing.
func (o *option) defaultText() string {
	switch d := o.value.String(); d {
	case "", "[]", "map[]", "0", "false":
		return ""
	default:
		return strings.TrimSuffix(strings.TrimPrefix(d, "["), "]")
	}
}

// wrap writes text in lines of at most width characters, each with the indentation.
func wrap(b *strings.Builder, text, indent string, width int) {
	line := indent
	for word := range strings.FieldsSeq(text) {
		if line != indent && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}

// entry is a name with what it means.
type entry struct{ name, help string }

func variables() []entry {
	return []entry{
		{"DOCKER_DRIVER", "Storage driver, before --storage-driver."},
		{"DOCKER_TMPDIR", `Directory for temporary files, instead of "tmp" in the data root.`},
		{"DOCKER_MIN_API_VERSION", "Oldest version of the API that is served, before --min-api-version."},
		{"DOCKER_CERT_PATH", "Directory of the certificates, instead of ~/.docker."},
		{"DOCKER_TLS_VERIFY", "If it is not empty, the same as --tlsverify."},
		{"HTTP_PROXY, HTTPS_PROXY, NO_PROXY", "Proxies of the daemon's own requests, unless options set them."},
		{"LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES", "Sockets that systemd has opened, for --host fd://."},
		{"NOTIFY_SOCKET", "Where systemd is told that the daemon is ready."},
	}
}

func signals() []entry {
	return []entry{
		{"SIGHUP", `Read the configuration file again. Options that are marked "Reloaded" take effect at once.`},
		{"SIGTERM, SIGINT", "Stop the containers, unless --live-restore is on, and exit."},
		{"SIGUSR1", "Write the stacks of all goroutines to a file in the exec root, and its name to the log."},
	}
}
