//go:build linux && (amd64 || arm64)

package sandbox

import (
	"encoding/binary"
	"unsafe"
)

// instr is one system call of a program. The action's pid 1 executes a list of
// them without a Go runtime, so the format is flat and needs no allocation.
type instr struct {
	nr    uint32    // system call number, or an op* pseudo number
	dst   uint8     // register that takes the result; noReg for none
	tol   [2]uint8  // errnos that count as success; 0 for none
	_     uint8     //
	kinds [6]uint8  // what each args entry is
	_     [2]uint8  //
	args  [6]uint64 // immediate, offset into the blob, or register number
}

const (
	argImm = uint8(iota) // the value itself
	argPtr               // address of blob[value]
	argReg               // content of register value
)

// Pseudo system calls.
const (
	opStore32  = 1<<20 + iota // *(*uint32)(&blob[args[0]]) = args[1]
	opStorePtr                // *(*uintptr)(&blob[args[0]]) = args[1]
	opListen                  // tells the helper that args[0] is the listener
	opEqual                   // fails with EIO unless args[0] == args[1]
)

// Registers of a program. The helper fills regFD and following with the
// descriptors that came with the request.
const (
	noReg     = 0xff
	regHost   = 0  // O_PATH descriptor of the host's root
	regRoot   = 1  // the new root
	regTmp    = 2  // scratch
	regTree   = 3  // a detached mount
	regTarget = 4  // a mount point
	regRules  = 5  // Landlock ruleset
	regSource = 6  // a file to be copied
	regCount  = 7  // bytes that were copied
	regListen = 8  // the listener of the second filter
	regFD     = 16 // stdout, stderr
	numRegs   = 64 //
)

type operand struct {
	kind uint8
	val  uint64
}

func imm(v int) operand     { return operand{argImm, uint64(v)} }
func regOf(r int) operand   { return operand{argReg, uint64(r)} }
func at(off uint64) operand { return operand{argPtr, off} }

// step names what a failed instruction was doing, for StepError.
type step struct{ name, detail string }

// program is what a Process is compiled to: instructions for pid 1, the bytes they
// point to, and where in those bytes the command's own arrays are.
type program struct {
	code  []instr
	steps []step // one an instruction; never leaves this process
	blob  []byte
	strs  map[string]uint64

	cur step

	argv, shArgv, envp uint64 // blob offsets of NULL-terminated offset tables
	argc, shArgc, envc int
	path               uint64
	trace              bool

	watch    uint64 // blob offset of what the observer needs
	watchLen int    // 0 where there is no observer
}

// reset empties p for another plan and keeps its memory.
func (p *program) reset() {
	clear(p.strs)
	*p = program{code: p.code[:0], steps: p.steps[:0], blob: p.blob[:0], strs: p.strs}
	if p.strs == nil {
		p.strs = map[string]uint64{}
	}
}

// step names the instructions that follow.
func (p *program) step(name, detail string) { p.cur = step{name, detail} }

func (p *program) call(nr int, dst int, args ...operand) *instr {
	in := instr{nr: uint32(nr), dst: uint8(dst)}
	for i, a := range args {
		in.kinds[i], in.args[i] = a.kind, a.val
	}
	p.code = append(p.code, in)
	p.steps = append(p.steps, p.cur)
	return &p.code[len(p.code)-1]
}

func (in *instr) tolerate(e ...int) {
	for i, v := range e {
		in.tol[i] = uint8(v)
	}
}

// str stores s with a NUL behind it, once.
func (p *program) str(s string) operand {
	off, ok := p.strs[s]
	if !ok {
		off = uint64(len(p.blob))
		p.blob = append(append(p.blob, s...), 0)
		p.strs[s] = off
	}
	return at(off)
}

// words stores 64-bit words, aligned.
func (p *program) words(w ...uint64) operand {
	off := p.align()
	for _, v := range w {
		p.blob = binary.NativeEndian.AppendUint64(p.blob, v)
	}
	return at(off)
}

// raw stores bytes, aligned.
func (p *program) raw(b []byte) operand {
	off := p.align()
	p.blob = append(p.blob, b...)
	return at(off)
}

func (p *program) align() uint64 {
	for len(p.blob)%8 != 0 {
		p.blob = append(p.blob, 0)
	}
	return uint64(len(p.blob))
}

// table stores a NULL-terminated array of offsets of strings. The helper turns
// the offsets into addresses.
func (p *program) table(ss []string) uint64 {
	offs := make([]uint64, 0, len(ss)+1)
	for _, s := range ss {
		offs = append(offs, p.str(s).val)
	}
	return p.words(append(offs, 0)...).val
}

func (p *program) codeBytes() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&p.code[0])), len(p.code)*int(unsafe.Sizeof(instr{})))
}
