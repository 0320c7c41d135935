package sandbox

const (
	auditArch = 0xc00000b7 // AUDIT_ARCH_AARCH64
	x32Bit    = 0x40000000 // no such ABI; the numbers do not exist
)
