package repo

import (
	"cmp"
	"runtime"
)

// osName and archName are what repository_ctx.os says, in the words of Java's
// os.name and os.arch as Bazel passes them on.
var (
	osName   = cmp.Or(map[string]string{"darwin": "mac os x"}[runtime.GOOS], runtime.GOOS)
	archName = cmp.Or(map[string]string{"arm64": "aarch64"}[runtime.GOARCH], runtime.GOARCH)
)
