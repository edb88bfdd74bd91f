package config

import (
	"fmt"
	"io"
	"strings"
)

// Shells are those that WriteCompletion knows.
func Shells() []string { return []string{"bash", "fish", "zsh"} }

// WriteCompletion writes a script that completes the daemon's options in a shell. Errors: a shell that is not one of Shells.
func (c *Config) WriteCompletion(w io.Writer, shell string) error {
	var options []*option
	Default(c.Program).table().all(func(o *option) {
		if o.name != "" {
			options = append(options, o)
		}
	})
	var script string
	switch shell {
	case "bash":
		script = bashCompletion(c.Program, options)
	case "zsh":
		script = zshCompletion(c.Program, options)
	case "fish":
		script = fishCompletion(c.Program, options)
	default:
		return fmt.Errorf("no completion for %s: there is one for %s", shell, strings.Join(Shells(), ", "))
	}
	_, err := io.WriteString(w, script)
	return err
}

// bashCompletion needs no bash-completion package: compgen is built in.
func bashCompletion(program string, options []*option) string {
	var names []string
	var cases strings.Builder
	var anything []string
	for _, o := range options {
		names = append(names, "--"+o.name)
		if o.short != "" {
			names = append(names, "-"+o.short)
		}
		if o.arg == "" {
			continue
		}
		pattern := "--" + o.name
		if o.short != "" {
			pattern += "|-" + o.short
		}
		reply := bashReply(o)
		if reply == "" {
			anything = append(anything, pattern)
			continue
		}
		fmt.Fprintf(&cases, "\t%s)\n\t\tCOMPREPLY=($(compgen %s -- \"$current\"))\n\t\treturn ;;\n", pattern, reply)
	}
	if len(anything) > 0 {
		fmt.Fprintf(&cases, "\t%s)\n\t\treturn ;;\n", strings.Join(anything, "|"))
	}
	return fmt.Sprintf(`# bash completion for %[1]s
_%[1]s() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
	COMPREPLY=()
	if [[ $current == "=" ]]; then
		current=""
	elif [[ $previous == "=" ]]; then
		previous=${COMP_WORDS[COMP_CWORD-2]}
	fi
	case $previous in
%[2]s	esac
	COMPREPLY=($(compgen -W "%[3]s" -- "$current"))
}
complete -F _%[1]s %[1]s
`, program, cases.String(), strings.Join(names, " "))
}

// bashReply is what compgen is asked for; "" for a value that nobody can guess.
func bashReply(o *option) string {
	var out []string
	if len(o.choices) > 0 {
		out = append(out, fmt.Sprintf("-W %q", strings.Join(o.choices, " ")))
	}
	switch o.completion {
	case hintFile:
		out = append(out, "-f")
	case hintDir:
		out = append(out, "-d")
	}
	return strings.Join(out, " ")
}

func zshCompletion(program string, options []*option) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# zsh completion for %s\n_arguments \\\n", program, program)
	for _, o := range options {
		help := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`, "'", `'\''`).Replace(firstSentence(o.help))
		value := ""
		if o.arg != "" {
			value = ":" + strings.NewReplacer(":", `\:`, "[", `\[`, "]", `\]`).Replace(strings.ToLower(o.arg)) + ":" + zshAction(o)
		}
		name := "--" + o.name
		if o.short != "" {
			fmt.Fprintf(&b, "\t'*'{-%s,%s}'[%s]%s' \\\n", o.short, name, help, value)
			continue
		}
		fmt.Fprintf(&b, "\t'*%s[%s]%s' \\\n", name, help, value)
	}
	return strings.TrimSuffix(b.String(), " \\\n") + "\n"
}

func zshAction(o *option) string {
	switch {
	case len(o.choices) > 0:
		return "(" + strings.Join(o.choices, " ") + ")"
	case o.completion == hintFile:
		return "_files"
	case o.completion == hintDir:
		return "_files -/"
	}
	return " "
}

func fishCompletion(program string, options []*option) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion for %s\ncomplete -c %s -f\n", program, program)
	for _, o := range options {
		fmt.Fprintf(&b, "complete -c %s -l %s", program, o.name)
		if o.short != "" {
			fmt.Fprintf(&b, " -s %s", o.short)
		}
		if o.arg != "" {
			b.WriteString(" -r") // with a value
			if o.completion != hintNone {
				b.WriteString(" -F") // that is a file
			}
		}
		if len(o.choices) > 0 {
			fmt.Fprintf(&b, " -a '%s'", strings.Join(o.choices, " "))
		}
		fmt.Fprintf(&b, " -d '%s'\n", strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(firstSentence(o.help)))
	}
	return b.String()
}

// firstSentence ends before the first full stop that a space follows.
func firstSentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(first, ".")
}
