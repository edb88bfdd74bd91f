package enter

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Addresses of the child's program. stub knows the first two.
const (
	verdictAt = 0x500000 // three words: the step that failed, the error, the set of errors that were passed over
	tableAt   = verdictAt + 0x40
	textAt    = 0x400000
	dataAt    = 0x10000000 // what the steps' arguments point to
	pageSize  = 4096
)

// recordSize is that of a step in the table: the number of the call, six arguments, the wanted result, the errors that
// are passed over, and the address of a character that must be a slash.
const recordSize = 80

// verdictSize is what the child writes when it fails, in bytes.
const verdictSize = 24

// image is the whole child as an ELF executable: code, table, data. It holds nothing of this process's memory.
func image(p *program, code []byte) ([]byte, error) {
	table := make([]byte, tableAt-verdictAt, tableAt-verdictAt+len(p.steps)*recordSize)
	for _, s := range p.steps {
		for _, word := range append(append([]uintptr{s.call}, s.args[:]...), s.want, uintptr(s.pass), s.slash) {
			table = binary.LittleEndian.AppendUint64(table, uint64(word))
		}
	}
	const headers = 64 + 4*56 // Elf64_Ehdr, Elf64_Phdr
	text := append(make([]byte, headers), code...)
	segments := []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: textAt, Filesz: uint64(len(text))},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Vaddr: verdictAt, Filesz: uint64(len(table))},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Vaddr: dataAt, Filesz: uint64(len(p.data))},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)},
	}
	var file []byte
	for i, content := range [][]byte{text, table, p.data} {
		segments[i].Off, segments[i].Memsz, segments[i].Align = uint64(len(file)), segments[i].Filesz, pageSize
		file = append(file, content...)
		file = append(file, make([]byte, -len(file)&(pageSize-1))...)
	}
	head := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Entry: textAt + headers, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(segments)),
	}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB)
	head.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	var out bytes.Buffer
	if err := errors.Join(binary.Write(&out, binary.LittleEndian, head), binary.Write(&out, binary.LittleEndian, segments)); err != nil {
		return nil, err
	}
	copy(file, out.Bytes())
	return file, nil
}

// sealed puts an executable into memory that nobody can change any more, whoever gets hold of it.
func sealed(file []byte) (_ *os.File, err error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("enter", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("enter", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if _, err = unix.Write(fd, file); err == nil {
		const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err == nil {
		// A descriptor that was open for writing would forbid to execute it.
		var reading int
		reading, err = unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			return os.NewFile(uintptr(reading), "enter"), unix.Close(fd)
		}
	}
	return nil, errors.Join(err, unix.Close(fd))
}
