package regular_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gorules/executor/regular"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("file"), large, 0o600))
	must(os.WriteFile(at("empty"), nil, 0o600))
	must(os.Symlink("file", at("link")))
	must(unix.Mkfifo(at("fifo"), 0o600))
	must(os.Symlink("fifo", at("link to a fifo")))
	must(os.Mkdir(at("folder"), 0o700))
	must(os.Symlink("gone", at("dangling")))
	must(unix.Mknod(at("socket"), unix.S_IFSOCK|0o600, 0))
	for name, want := range map[string][]byte{at("file"): large, at("empty"): {}, at("link"): large} {
		if b, err := regular.Read(name); err != nil || !bytes.Equal(b, want) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if b, err := regular.Read("/proc/self/status"); err != nil || !bytes.Contains(b, []byte("Uid:")) { // says that it is empty
		t.Errorf("%q %v", b, err)
	}
	for name, want := range map[string]string{
		at("fifo"): "it is a FIFO, not a file", at("link to a fifo"): "it is a FIFO, not a file",
		at("folder"): "it is a folder, not a file", at("socket"): "it is a socket, not a file", os.DevNull: "it is a device, not a file",
	} {
		if _, err := regular.Read(name); !errors.Is(err, regular.ErrKind) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	for _, name := range []string{at("dangling"), at("absent")} {
		if _, err := regular.Read(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
