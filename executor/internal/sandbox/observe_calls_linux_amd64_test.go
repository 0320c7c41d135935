package sandbox_test

import (
	"golang.org/x/sys/unix"

	"gorules/executor/internal/sandbox"
)

// archLookCases are about the calls without a directory descriptor.
func archLookCases(buf, size uintptr) []lookCase {
	what := func(p string, w sandbox.What) map[string]sandbox.What { return map[string]sandbox.What{root + p: w} }
	linkEnd := map[string]sandbox.What{root + "l": c, root + "d/e": k}
	return []lookCase{
		{"open", unix.SYS_OPEN, func() { call(unix.SYS_OPEN, ptr("../a"), unix.O_RDONLY) }, what("a", c)},
		{"creat", unix.SYS_CREAT, func() { call(unix.SYS_CREAT, ptr("../l"), 0o644) }, linkEnd},
		{"stat", unix.SYS_STAT, func() { call(unix.SYS_STAT, ptr("../l"), buf) }, linkEnd},
		{"lstat", unix.SYS_LSTAT, func() { call(unix.SYS_LSTAT, ptr("../l"), buf) }, what("l", k)},
		{"access", unix.SYS_ACCESS, func() { call(unix.SYS_ACCESS, ptr("../none"), 0) }, what("none", k)},
		{"readlink", unix.SYS_READLINK, func() { call(unix.SYS_READLINK, ptr("../l"), buf, size) }, what("l", c)},
		{"getdents", unix.SYS_GETDENTS, func() { call(unix.SYS_GETDENTS, fdOf("/s/d/f", unix.O_RDONLY), buf, size) }, what("d/f", c|n)},
		{"rename", unix.SYS_RENAME, func() { call(unix.SYS_RENAME, ptr("../a"), ptr("../c")) }, map[string]sandbox.What{root + "a": c, root + "c": n}},
		{"link", unix.SYS_LINK, func() { call(unix.SYS_LINK, ptr("../a"), ptr("../c")) }, map[string]sandbox.What{root + "a": c, root + "c": k}},
		{"unlink", unix.SYS_UNLINK, func() { call(unix.SYS_UNLINK, ptr("../a")) }, what("a", k)},
		{"rmdir", unix.SYS_RMDIR, func() { call(unix.SYS_RMDIR, ptr("../empty")) }, what("empty", n)},
		{"symlink", unix.SYS_SYMLINK, func() { call(unix.SYS_SYMLINK, ptr("/s/a"), ptr("../c")) }, what("c", k)},
		{"mkdir", unix.SYS_MKDIR, func() { call(unix.SYS_MKDIR, ptr("../c"), 0o755) }, what("c", k)},
		{"mknod", unix.SYS_MKNOD, func() { call(unix.SYS_MKNOD, ptr("../c"), unix.S_IFREG|0o644, 0) }, what("c", k)},
		{"chmod", unix.SYS_CHMOD, func() { call(unix.SYS_CHMOD, ptr("../a"), 0o600) }, what("a", k)},
		{"chown", unix.SYS_CHOWN, func() { call(unix.SYS_CHOWN, ptr("../l"), 1000, 1000) }, linkEnd},
		{"lchown", unix.SYS_LCHOWN, func() { call(unix.SYS_LCHOWN, ptr("../l"), 1000, 1000) }, what("l", k)},
		{"utime", unix.SYS_UTIME, func() { call(unix.SYS_UTIME, ptr("../a"), 0) }, what("a", k)},
		{"utimes", unix.SYS_UTIMES, func() { call(unix.SYS_UTIMES, ptr("../a"), 0) }, what("a", k)},
		{"futimesat", unix.SYS_FUTIMESAT, func() { call(unix.SYS_FUTIMESAT, cwd, ptr("../a"), 0) }, what("a", k)},
	}
}
