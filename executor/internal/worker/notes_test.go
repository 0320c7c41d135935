package worker

import (
	"slices"
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
		},
	}
	read := func(p string) sandbox.Access {
		return sandbox.Access{Kind: sandbox.AccessRead, Path: p, Err: unix.ENOENT}
	}
	for _, tc := range []struct {
		name string
		in   []sandbox.Access
		want []string
	}{
		{"none", nil, nil},
		{"a path, an address", []sandbox.Access{read("/home/x"), {Kind: sandbox.AccessConnect, Addr: "192.0.2.7:443", Err: unix.ENETUNREACH}}, []string{"no /home/x", "no way to 192.0.2.7:443"}},
		{"longest folder", []sandbox.Access{read("/w/a/b.txt"), read("/wide")}, []string{"add a/b.txt", "no /wide"}},
		{"another error", []sandbox.Access{{Kind: sandbox.AccessWrite, Path: "/w/a", Err: unix.EROFS}}, nil},
		{"not explained", []sandbox.Access{read("/rust/lib/x")}, nil},
		{"the loader", []sandbox.Access{
			read("/etc/ld.so.cache"), read("/lib/glibc-hwcaps/x86-64-v3"), read("/lib/tls/x86_64"), read("/lib/libz.so.1"),
		}, nil},
		{"a missing library", []sandbox.Access{read("/lib/libz.so.1"), read("/usr/lib/libz.so.1")}, []string{"no /usr/lib/libz.so.1"}},
		{"a socket", []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "/run/x", Err: unix.ENOENT}}, []string{"no /run/x"}},
		{"the name service's socket", []sandbox.Access{{Kind: sandbox.AccessConnect, Addr: "/var/run/nscd/socket", Err: unix.ENOENT}}, nil},
		{"a program found at last", []sandbox.Access{read("/usr/bin/sh")}, nil},
		{"a program found nowhere", []sandbox.Access{read("/usr/bin/protoc"), read("/bin/protoc")}, []string{"tool protoc"}},
		{"a host's name", []sandbox.Access{read("/etc/resolv.conf")}, []string{"no way to a host by its name"}},
		{"makes a folder's parents", []sandbox.Access{{Kind: sandbox.AccessWrite, Path: "/w/pkg/a/b", Err: unix.ENOENT}}, nil},
		{"the last five, each once", []sandbox.Access{
			read("/1"), read("/2"), read("/3"), read("/4"), read("/5"), read("/6"), read("/6"),
		}, []string{"no /2", "no /3", "no /4", "no /5", "no /6"}},
	} {
		if got := notes(spec, tc.in); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
