package sandbox

const (
	probeMachine = 62 // EM_X86_64
	// mov edi, 42; mov eax, 231 (exit_group); syscall
	probeCode = "\xbf\x2a\x00\x00\x00\xb8\xe7\x00\x00\x00\x0f\x05"
)
