package worker

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/internal/action"
	"gorules/executor/internal/sandbox"
)

func TestNotes(t *testing.T) {
	spec := &action.Spec{
		Writable: []string{"/w/pkg"},
		Env:      map[string]string{"PATH": "/usr/bin:/bin"},
		Explain: map[string]string{
			"ENOENT": "no {path}", "ENOENT PATH": "tool {rest}", "ENOENT /w": "add {rest}", "ENOENT /rust": "", "ENETUNREACH": "no way to {address}",
			"EACCES": "may not write {path}",
		},
	}
	read := func(p string) sandbox.Access {
		return sandbox.Access{Kind: sandbox.AccessRead, Path: p, Err: unix.ENOENT}
	}
	exec := func(p string) sandbox.Access {
		return sandbox.Access{Kind: sandbox.AccessExec, Path: p, Err: unix.ENOENT}
	}
	for _, tc := range []struct {
		name  string
		there string // what is beside the action
		in    []sandbox.Access
		want  []string
	}{
		{"none", "", nil, nil},
		{"a path, an address", "/home/x", []sandbox.Access{read("/home/x"), {Kind: sandbox.AccessConnect, Addr: "192.0.2.7:443", Err: unix.ENETUNREACH}}, []string{"no /home/x", "no way to 192.0.2.7:443"}},
		{"what is nowhere", "", []sandbox.Access{read("/home/x"), read("/w/a/b.txt"), read("/rustc/4a8f/library/core/src/panicking.rs"), read("/tmp/.tmpq1/config")}, nil},
		{"among noise", "/etc/protoc.conf", []sandbox.Access{
			read("/etc/protoc.conf"), read("/home/gorules/.protoc"), read("/usr/local/etc/protoc.conf"), read("/rustc/4a8f/library/std/src/io.rs"), read("/w/.protoc"),
		}, []string{"no /etc/protoc.conf"}},
		{"longest folder", "/w/a/b.txt /wide", []sandbox.Access{read("/w/a/b.txt"), read("/wide")}, []string{"add a/b.txt", "no /wide"}},
		{"another error", "/w/a", []sandbox.Access{{Kind: sandbox.AccessWrite, Path: "/w/a", Err: unix.EROFS}}, nil},
		{"a write", "", []sandbox.Access{{Kind: sandbox.AccessWrite, Path: "/w/a", Err: unix.EACCES}}, []string{"may not write /w/a"}},
		{"not explained", "/rust/lib/x", []sandbox.Access{read("/rust/lib/x")}, nil},
		{"the loader", "/etc/ld.so.cache", []sandbox.Access{
			read("/etc/ld.so.cache"), read("/lib/glibc-hwcaps/x86-64-v3"), read("/lib/tls/x86_64"), read("/lib/libz.so.1"),
		}, nil},
		{"a missing library, by both its ways", "/lib/libz.so.1 /usr/lib/libz.so.1", []sandbox.Access{
			read("/rust/lib/libz.so.1"), read("/lib/libz.so.1"), read("/usr/lib/libz.so.1"), read("/usr/lib/sse2/libz.so.1"),
		}, []string{"no /usr/lib/libz.so.1"}},
		{"a socket", "/run/x", []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "/run/x", Err: unix.ENOENT}}, []string{"no /run/x"}},
		{"a socket that nobody has", "", []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "/run/x", Err: unix.ENOENT}}, nil},
		{"the name service's socket", "/var/run/nscd/socket", []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "/var/run/nscd/socket", Err: unix.ENOENT}}, nil},
		{"a program found at last", "", []sandbox.Access{read("/usr/bin/sh"), exec("/usr/bin/sh")}, nil},
		{"a program of the host", "/usr/bin/protoc /bin/protoc", []sandbox.Access{read("/usr/bin/protoc"), read("/bin/protoc")}, []string{"tool protoc"}},
		{"one that is called by its path", "/usr/bin/protoc", []sandbox.Access{exec("/usr/bin/protoc")}, []string{"tool protoc"}},
		{"a program that is nowhere", "", []sandbox.Access{exec("/usr/bin/other"), exec("/bin/other"), exec("/usr/bin/protoc"), exec("/bin/protoc")}, []string{"tool protoc"}},
		{"one that a shell looks for", "", []sandbox.Access{read("/usr/bin/protoc"), read("/bin/protoc")}, []string{"tool protoc"}},
		{"one that is nowhere, and what is there", "/home/x", []sandbox.Access{read("/home/x"), exec("/usr/bin/protoc"), exec("/bin/protoc")}, []string{"no /home/x"}},
		{"a host's name", "", []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "127.0.0.1:53", Err: unix.ENETUNREACH}}, []string{"no way to a host by its name"}},
		{"makes a folder's parents", "/w/pkg/a/b", []sandbox.Access{{Kind: sandbox.AccessWrite, Path: "/w/pkg/a/b", Err: unix.ENOENT}}, nil},
		{"the last three, each once", "/1 /2 /3 /4 /5", []sandbox.Access{
			read("/1"), read("/2"), read("/3"), read("/4"), read("/5"), read("/6"), read("/5"),
		}, []string{"no /3", "no /4", "no /5"}},
	} {
		there := func(p string) bool { return slices.Contains(strings.Fields(tc.there), p) }
		if got := notes(spec, tc.in, there); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
