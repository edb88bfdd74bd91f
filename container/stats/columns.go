package stats

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// column is one of a listing.
type column struct {
	title string
	value func(v *view, p *process) string
}

// view is what all rows of a listing share.
type view struct {
	now    time.Time
	uptime time.Duration // of the machine
	memory uint64        // of the machine, bytes
	users  map[string]string
	groups map[string]string
}

func newView(h *host) (*view, error) {
	data, err := os.ReadFile(filepath.Join(h.proc, "uptime"))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(string(data), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil, err
	}
	return &view{
		now: time.Now(), uptime: time.Duration(seconds * float64(time.Second)), memory: h.memory,
		users: names("/etc/passwd"), groups: names("/etc/group"),
	}, nil
}

// names reads passwd(5) or group(5) of the host: name by ID. A file that cannot be read leaves the numbers.
func names(path string) map[string]string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }() // it was only read
	byID := map[string]string{}
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		fields := strings.Split(scanner.Text(), ":")
		if len(fields) < 3 {
			continue
		}
		if _, ok := byID[fields[2]]; !ok {
			byID[fields[2]] = fields[0]
		}
	}
	return byID
}

// name is that of an ID, as wide as ps has it.
func name(names map[string]string, id string) string {
	const width = 8
	n, ok := names[id]
	if !ok {
		return id
	}
	if len(n) > width {
		return n[:width-1] + "+"
	}
	return n
}

// knownColumns are the format specifiers of ps(1) that are made here, by all their names.
func knownColumns() map[string]column {
	all := map[string]column{}
	add := func(title string, value func(v *view, p *process) string, specifiers ...string) {
		for _, s := range specifiers {
			all[s] = column{title, value}
		}
	}
	integer := func(f func(p *process) int) func(*view, *process) string {
		return func(_ *view, p *process) string { return strconv.Itoa(f(p)) }
	}
	commandLine := func(_ *view, p *process) string { return p.commandLine() }
	user := func(v *view, p *process) string { return name(v.users, p.uid) }
	group := func(v *view, p *process) string { return name(v.groups, p.gid) }

	add(pidTitle, integer(func(p *process) int { return p.pid }), "pid", "tgid")
	add("PPID", integer(func(p *process) int { return p.ppid }), "ppid")
	add("PGID", integer(func(p *process) int { return p.group }), "pgid")
	add("SID", integer(func(p *process) int { return p.session }), "sid")
	add("SESS", integer(func(p *process) int { return p.session }), "sess", "session")
	add("USER", user, "user", "uname")
	add("EUSER", user, "euser")
	add("UID", func(_ *view, p *process) string { return p.uid }, "uid")
	add("GROUP", group, "group")
	add("EGROUP", group, "egroup")
	add("GID", func(_ *view, p *process) string { return p.gid }, "gid")
	add("COMMAND", func(_ *view, p *process) string { return p.name() }, "comm", "ucomm")
	add("CMD", func(_ *view, p *process) string { return p.name() }, "ucmd")
	add("COMMAND", commandLine, "args", "command")
	add("CMD", commandLine, "cmd")
	add("STAT", func(_ *view, p *process) string { return p.status() }, "stat")
	add("S", func(_ *view, p *process) string { return p.state }, "s", "state")
	add("TT", func(_ *view, p *process) string { return p.terminal() }, "tt", "tty")
	add("TTY", func(_ *view, p *process) string { return p.terminal() }, "tname")
	add("TIME", func(_ *view, p *process) string { return clock(p.cpu) }, "time", "cputime")
	add("ELAPSED", func(v *view, p *process) string { return elapsed(v.age(p)) }, "etime")
	add("ELAPSED", func(v *view, p *process) string { return strconv.Itoa(int(v.age(p).Seconds())) }, "etimes")
	add("%CPU", (*view).percentCPU, "pcpu", "%cpu")
	add("C", (*view).wholePercentCPU, "c")
	add("%MEM", (*view).percentMemory, "pmem", "%mem")
	add("RSS", func(_ *view, p *process) string { return kilobytes(p.resident) }, "rss", "rssize")
	add("VSZ", func(_ *view, p *process) string { return kilobytes(p.virtual) }, "vsz", "vsize")
	add("NI", integer(func(p *process) int { return p.nice }), "ni", "nice")
	add("NLWP", integer(func(p *process) int { return p.threads }), "nlwp")
	add("THCNT", integer(func(p *process) int { return p.threads }), "thcount")
	add("STIME", (*view).startTime, "stime")
	add("START", (*view).startTime, "start_time")
	return all
}

// pick returns columns by their specifiers.
func pick(specifiers ...string) []column {
	known := knownColumns()
	var columns []column
	for _, s := range specifiers {
		columns = append(columns, known[s])
	}
	return columns
}

// full is the format of -f.
func full() []column {
	columns := pick("user", "pid", "ppid", "c", "stime", "tname", "time", "cmd")
	columns[0].title = "UID"
	return columns
}

// userOriented is the format of u.
func userOriented() []column {
	columns := pick("user", "pid", "%cpu", "%mem", "vsz", "rss", "tname", "stat", "start_time", "time", "command")
	columns[9].value = func(_ *view, p *process) string { return minutes(p.cpu) }
	return columns
}

// plain is what ps shows without a format.
func plain() []column { return pick("pid", "tname", "time", "ucmd") }

func (v *view) age(p *process) time.Duration { return max(0, v.uptime-p.started) }

// share is the CPU time of a process in thousandths of its life.
func (v *view) share(p *process) int64 {
	seconds := int64(v.age(p) / time.Second)
	if seconds == 0 {
		return 0
	}
	return p.cpu.Milliseconds() / seconds
}

func (v *view) percentCPU(p *process) string {
	s := v.share(p)
	if s > 999 {
		return strconv.FormatInt(s/10, 10)
	}
	return fmt.Sprintf("%d.%d", s/10, s%10)
}

func (v *view) wholePercentCPU(p *process) string {
	return strconv.FormatInt(min(v.share(p)/10, 99), 10)
}

func (v *view) percentMemory(p *process) string {
	if v.memory == 0 {
		return "0.0"
	}
	s := min(p.resident*1000/v.memory, 999)
	return fmt.Sprintf("%d.%d", s/10, s%10)
}

// startTime is a time for today, a day for this year, and else a year.
func (v *view) startTime(p *process) string {
	at := v.now.Add(-v.age(p))
	switch {
	case at.Year() != v.now.Year():
		return at.Format("2006")
	case at.YearDay() != v.now.YearDay():
		return at.Format("Jan02")
	default:
		return at.Format("15:04")
	}
}

func kilobytes(n uint64) string { return strconv.FormatUint(n>>10, 10) }

// clock is [DD-]HH:MM:SS.
func clock(d time.Duration) string {
	s := int64(d / time.Second)
	text := fmt.Sprintf("%02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	if days := s / 86400; days > 0 {
		return fmt.Sprintf("%d-%s", days, text)
	}
	return text
}

// elapsed is [[DD-]HH:]MM:SS.
func elapsed(d time.Duration) string {
	text := clock(d)
	if d < time.Hour {
		return text[3:]
	}
	return text
}

// minutes is M:SS.
func minutes(d time.Duration) string {
	s := int64(d / time.Second)
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
