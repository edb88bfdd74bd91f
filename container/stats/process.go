package stats

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is what procfs shows of one, proc(5).
type process struct {
	pid, ppid, group, session int
	state                     string
	command                   string // its name
	tty                       int
	foreground                int           // process group that the terminal obeys
	cpu                       time.Duration // user and system
	nice, threads             int
	started                   time.Duration // after the machine
	virtual, resident         uint64        // bytes
	uid, gid                  string        // effective
	locked                    bool          // it has locked memory
	args                      []string
}

var errStat = errors.New("invalid process status")

// readProcess reads a process. Errors: it is not there any more.
func readProcess(proc string, pid int) (*process, error) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	data, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil, err
	}
	p, err := parseStat(string(data))
	if err != nil {
		return nil, err
	}
	if err := p.readStatus(filepath.Join(dir, "status")); err != nil {
		return nil, err
	}
	// A zombie has no arguments, nor has a kernel thread.
	if data, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil && len(data) > 0 {
		p.args = strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
	}
	return p, nil
}

// parseStat reads /proc/PID/stat. The name, in parentheses, may have any characters in it.
func parseStat(s string) (*process, error) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return nil, errStat
	}
	f := strings.Fields(s[end+1:])
	if len(f) < 22 {
		return nil, errStat
	}
	var bad error
	number := func(i int) int64 { // the field with this number in proc(5)
		v, err := strconv.ParseInt(f[i-3], 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			bad = errStat
		}
		return v
	}
	pid, err := strconv.Atoi(strings.TrimSpace(s[:open]))
	if err != nil {
		return nil, errStat
	}
	p := &process{
		pid: pid, command: s[open+1 : end], state: f[0],
		ppid: int(number(4)), group: int(number(5)), session: int(number(6)), tty: int(number(7)), foreground: int(number(8)),
		cpu:  time.Duration(number(14)+number(15)) * time.Second / ticks,
		nice: int(number(19)), threads: int(number(20)),
		started: time.Duration(number(22)) * time.Second / ticks,
		virtual: uint64(number(23)), resident: uint64(number(24)) * uint64(os.Getpagesize()),
	}
	return p, bad
}

func (p *process) readStatus(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	scanner := bufio.NewScanner(strings.NewReader(string(data)))
	for scanner.Scan() {
		f := strings.Fields(scanner.Text())
		switch {
		case len(f) > 2 && f[0] == "Uid:":
			p.uid = f[2]
		case len(f) > 2 && f[0] == "Gid:":
			p.gid = f[2]
		case len(f) > 1 && f[0] == "VmLck:":
			p.locked = f[1] != "0"
		}
	}
	return nil
}

// commandLine is the arguments, or the name in brackets for a process without any.
func (p *process) commandLine() string {
	s := "[" + p.command + "]"
	if len(p.args) > 0 {
		s = strings.Join(p.args, " ")
	}
	if p.state == "Z" {
		s += " <defunct>"
	}
	// As one who splits the output of ps gets it; control characters might do things to a terminal.
	s = strings.Map(func(r rune) rune {
		if r < ' ' && !strings.ContainsRune("\t\n\f\r", r) || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	return strings.Join(fieldsASCII(s), " ")
}

func (p *process) name() string {
	if p.state == "Z" {
		return p.command + " <defunct>"
	}
	return p.command
}

// status is the state with the signs that ps puts behind it.
func (p *process) status() string {
	s := p.state
	if p.nice < 0 {
		s += "<"
	}
	if p.nice > 0 {
		s += "N"
	}
	if p.locked {
		s += "L"
	}
	if p.session == p.pid {
		s += "s"
	}
	if p.threads > 1 {
		s += "l"
	}
	if p.foreground == p.group && p.tty != 0 {
		s += "+"
	}
	return s
}

// terminal is the name of the controlling terminal, by the numbers of devices.txt of the kernel's documentation.
func (p *process) terminal() string {
	major := p.tty >> 8 & 0xfff
	minor := p.tty&0xff | p.tty>>12&0xfff00
	switch {
	case p.tty == 0:
		return "?"
	case major >= 136 && major <= 143:
		return "pts/" + strconv.Itoa(minor+(major-136)<<8)
	case major == 4 && minor < 64:
		return "tty" + strconv.Itoa(minor)
	case major == 4:
		return "ttyS" + strconv.Itoa(minor-64)
	case major == 5 && minor == 1:
		return "console"
	case major == 204 && minor >= 64:
		return "ttyAMA" + strconv.Itoa(minor-64)
	case major == 229:
		return "hvc" + strconv.Itoa(minor)
	default:
		return "?"
	}
}
