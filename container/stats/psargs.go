package stats

import "strings"

// parseArgs understands the usual arguments of ps: -ef, aux, ax, -o and -eo with known columns. False leaves
// everything else to ps itself.
func parseArgs(args string) ([]column, bool) {
	words := fieldsASCII(args)
	if len(words) == 1 {
		switch strings.TrimRight(words[0], "w") {
		case "aux", "axu":
			return userOriented(), true
		}
	}
	var columns []column
	isFull := false
	for i := 0; i < len(words); i++ {
		flags, ok := strings.CutPrefix(words[i], "-")
		if !ok || flags == "" {
			return nil, false
		}
		for j, flag := range flags {
			switch flag {
			case 'e', 'A', 'w': // which processes, and how wide: it is these, in full
			case 'f':
				isFull = true
			case 'o':
				list := flags[j+1:]
				if list == "" {
					i++
					if i == len(words) {
						return nil, false
					}
					list = words[i]
				}
				more, ok := parseColumns(list)
				if !ok {
					return nil, false
				}
				columns = append(columns, more...)
			default:
				return nil, false
			}
			if flag == 'o' {
				break
			}
		}
	}
	switch {
	case isFull && columns != nil:
		return nil, false // ps knows what is meant
	case isFull:
		return full(), true
	case columns != nil:
		return columns, true
	default:
		return plain(), len(words) > 0
	}
}

// parseColumns reads a list "pid,user,args". A column with a title of the user's own is left to ps.
func parseColumns(list string) ([]column, bool) {
	known := knownColumns()
	var columns []column
	for _, specifier := range strings.Split(list, ",") {
		c, ok := known[specifier]
		if !ok {
			return nil, false
		}
		columns = append(columns, c)
	}
	return columns, true
}
