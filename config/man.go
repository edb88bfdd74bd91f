package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteMan writes the manual page in man(7)'s notation, from the same tables as the help.
func (c *Config) WriteMan(w io.Writer) error {
	d := Default(c.Program)
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 8 \"\" gantry \"System Administration\"\n", strings.ToUpper(d.Program))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- run containers, and serve the Docker Engine API for them\n", d.Program)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n[\\fIOPTIONS\\fR]\n", d.Program)
	b.WriteString(".SH DESCRIPTION\n" + roff(description) + "\n")
	for _, paragraph := range more() {
		b.WriteString(".PP\n" + roff(paragraph) + "\n")
	}
	b.WriteString(".SH OPTIONS\n" + roff("Options that may be given several times add up.") + "\n")
	for _, g := range d.table() {
		fmt.Fprintf(&b, ".SS %s\n", roff(g.title))
		for i := range g.options {
			g.options[i].writeMan(&b)
		}
	}
	writeEntries(&b, "ENVIRONMENT", variables())
	writeEntries(&b, "SIGNALS", signals())
	writeEntries(&b, "FILES", d.files())
	b.WriteString(".SH SEE ALSO\n.BR gantry (8),\n.BR docker (1),\n.BR systemd.socket (5)\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const description = "The daemon keeps images, runs containers, and serves the Docker Engine API on a Unix socket, so that the docker " +
	"command, Compose and other clients work with it. Its options, its configuration file and its data root are dockerd's. " +
	"Called as dockerd, it has dockerd's default places, too."

// more is what a reader of the manual page must know before the options.
func more() []string {
	return []string{
		"Containers belong to another process, gantry-supervisor, which the daemon starts and which outlives it: a daemon that is killed, " +
			"or restarted by systemd, leaves containers, their output and their published ports alone, and finds them again.",
		`The configuration file is a JSON object. A setting has the name of its flag; one that may be given several times is a list or ` +
			`an object under the plural that is told with the flag. A setting is in the file or a flag, never both. What the file has ` +
			`and the daemon does not know is an error.`,
		"Whoever can use the API is root on this host. The Unix sockets are for root and the group; a tcp:// socket needs --tlsverify.",
	}
}

func (o *option) writeMan(b *strings.Builder) {
	b.WriteString(".TP\n")
	argument := ""
	if o.arg != "" {
		argument = " \\fI" + roff(o.arg) + "\\fR"
	}
	switch {
	case o.name == "":
		fmt.Fprintf(b, "\"%s\" in the configuration file\n", roff(o.keys[0]))
	case o.short != "":
		fmt.Fprintf(b, "\\fB\\-%s\\fR, \\fB\\-\\-%s\\fR%s\n", o.short, roff(o.name), argument)
	default:
		fmt.Fprintf(b, "\\fB\\-\\-%s\\fR%s\n", roff(o.name), argument)
	}
	b.WriteString(roff(o.help+o.facts()) + "\n")
}

func writeEntries(b *strings.Builder, section string, entries []entry) {
	fmt.Fprintf(b, ".SH %s\n", section)
	for _, e := range entries {
		fmt.Fprintf(b, ".TP\n\\fB%s\\fR\n%s\n", roff(e.name), roff(e.help))
	}
}

// files are the daemon's own, in its default places.
func (c *Config) files() []entry {
	return []entry{
		{c.File, "The configuration file, if it is there."},
		{c.DataRoot, "The data root: images, containers, volumes."},
		{c.ExecRoot, "The exec root: what is gone after a reboot."},
		{c.ownSocket(), "The API."},
	}
}

// roff makes text safe for man(7): backslashes and hyphens are escaped, and no line begins with a command.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "~", `\(ti`, "^", `\(ha`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
