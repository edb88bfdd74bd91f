package config

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

func written(t *testing.T, write func(*bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHelpManPageAndCompletionAgreeWithTheFlags(t *testing.T) {
	c := Default("gantryd")
	help := written(t, func(b *bytes.Buffer) error { return c.WriteHelp(b) })
	man := strings.ReplaceAll(written(t, func(b *bytes.Buffer) error { return c.WriteMan(b) }), `\-`, "-")
	completion := map[string]string{}
	for _, shell := range Shells() {
		completion[shell] = written(t, func(b *bytes.Buffer) error { return c.WriteCompletion(b, shell) })
	}
	count := 0
	c.table().all(func(o *option) {
		if o.name == "" {
			return
		}
		count++
		for where, found := range map[string]bool{
			"help": regexp.MustCompile(`(?m)^  (-. *|   ).*--` + o.name + `( |$)`).MatchString(help),
			"man":  strings.Contains(man, `\fB--`+o.name+`\fR`),
			"bash": regexp.MustCompile(`[ "]--` + o.name + `[ "]`).MatchString(completion["bash"]),
			"zsh":  regexp.MustCompile(`--` + o.name + `[\[}]`).MatchString(completion["zsh"]),
			"fish": strings.Contains(completion["fish"], " -l "+o.name+" "),
		} {
			if !found {
				t.Errorf("--%s is not in %s", o.name, where)
			}
		}
	})
	if inHelp := len(regexp.MustCompile(`(?m)^  .{4}--[a-z]`).FindAllString(help, -1)); inHelp != count {
		t.Errorf("the help has %d options of %d", inHelp, count)
	}
	for line := range strings.Lines(help) {
		if len(strings.TrimRight(line, "\n")) > helpWidth {
			t.Errorf("a line of the help is too long: %s", line)
		}
	}
}

// documented are the flags of dockerd's that tools rely on.
const documented = `config-file data-root exec-root pidfile host debug log-level log-format storage-driver storage-opt containerd
containerd-namespace containerd-plugins-namespace userland-proxy userland-proxy-path firewall-backend iptables
ip6tables live-restore fixed-cidr fixed-cidr-v6 bip bip6 ipv6 bridge mtu icc ip ip-forward
ip-forward-no-drop ip-masq default-address-pool default-network-opt default-gateway default-gateway-v6 dns dns-opt dns-search init init-path
add-runtime default-runtime authorization-plugin feature nri-opts cdi-spec-dir http-proxy https-proxy no-proxy
log-driver log-opt tls tlsverify tlscacert tlscert tlskey validate version default-ipc-mode default-shm-size
default-ulimit default-cgroupns-mode cgroup-parent exec-opt seccomp-profile selinux-enabled no-new-privileges userns-remap
oom-score-adjust insecure-registry registry-mirror max-concurrent-downloads max-concurrent-uploads max-download-attempts
shutdown-timeout group label metrics-addr experimental node-generic-resource raw-logs swarm-default-advertise-addr
network-control-plane-mtu min-api-version host-gateway-ip cpu-rt-period cpu-rt-runtime allow-direct-routing docker-socket`

func TestAllDocumentedFlagsExist(t *testing.T) {
	flags := Default("dockerd").table().flagSet("dockerd")
	for name := range strings.FieldsSeq(documented) {
		if flags.Lookup(name) == nil {
			t.Errorf("--%s is missing", name)
		}
	}
	for short, name := range map[string]string{"H": "host", "D": "debug", "s": "storage-driver", "b": "bridge", "G": "group", "l": "log-level", "p": "pidfile", "v": "version"} {
		if f := flags.ShorthandLookup(short); f == nil || f.Name != name {
			t.Errorf("-%s is not --%s", short, name)
		}
	}
}

func TestKeysOfTheFileAreUnique(t *testing.T) {
	seen := map[string]bool{}
	Default("gantryd").table().all(func(o *option) {
		for _, key := range o.fileKeys() {
			if seen[key] {
				t.Errorf("%s is there twice", key)
			}
			seen[key] = true
		}
	})
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	c := Default("gantryd")
	script := written(t, func(b *bytes.Buffer) error { return c.WriteCompletion(b, "bash") })
	for words, want := range map[string]string{
		"gantryd --log-l":              "--log-level",
		"gantryd --log-level w":        "warn",
		"gantryd --default-ipc-mode s": "shareable",
		"gantryd --data-root /et":      "/etc",
	} {
		fields := strings.Fields(words)
		run := script + "\nCOMP_WORDS=(" + words + ")\nCOMP_CWORD=" + string(rune('0'+len(fields)-1)) + "\n_gantryd\necho ${COMPREPLY[@]}\n"
		out, err := exec.Command(bash, "-c", run).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %s, %v; want %s", words, out, err, want)
		}
	}
}
