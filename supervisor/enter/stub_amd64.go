package enter

// stub is never called: it is copied.
func stub()

var _ = stub // it is named by the assembler only

// codeSize is more than stub has, in bytes.
const codeSize = 512

// copyStub copies stub, and what happens to be behind it.
//
//go:noescape
func copyStub(to *[codeSize]byte)

// stubCode returns the machine code of a program that carries out steps.
func stubCode() []byte {
	var code [codeSize]byte
	copyStub(&code)
	return code[:]
}
