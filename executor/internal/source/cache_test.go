package source_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"gorules/executor/internal/fsx"
	"gorules/executor/internal/source"
)

// TestCache: a digest is remembered by stat key; so a planted wrong one is
// believed, which shows that the file was not read.
func TestCache(t *testing.T) {
	dir := lay(t, map[string]string{"a": "1", "b": "2"})
	store := filepath.Join(t.TempDir(), "sub", "digests")
	c := source.LoadCache(store)
	must(t, c.Save(store))
	if _, err := os.Stat(store); err == nil {
		t.Error("Save wrote a file though nothing was added")
	}
	// Fresh files are not remembered: they may change without their key changing.
	s := source.New(c)
	if _, _, err := s.File(dir + "/a"); err != nil {
		t.Fatal(err)
	}
	must(t, c.Save(store))
	if _, err := os.Stat(store); err == nil {
		t.Log("the file was old enough to be remembered") // a slow machine
	}
	settle()
	s = source.New(c)
	for _, p := range []string{"a", "b"} {
		if _, _, err := s.File(dir + "/" + p); err != nil {
			t.Fatal(err)
		}
	}
	must(t, c.Save(store))
	good, err := os.ReadFile(store)
	must(t, err)
	if i, err := os.Stat(store); err != nil || i.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v, want it private", i.Mode(), err)
	}
	old, now := of("1"), of("planted")
	if !bytes.Contains(good, old.Hash[:]) {
		t.Fatal("the digest of a is not in the file")
	}
	body, ok := fsx.Plain.ReadChecked(store, "gorules digests 1\n")
	if !ok {
		t.Fatal("ReadChecked refuses what Save wrote")
	}
	must(t, fsx.Plain.WriteChecked(store, "gorules digests 1\n", bytes.Replace(body, old.Hash[:], now.Hash[:], 1)))
	read := func() string {
		d, _, err := source.New(source.LoadCache(store)).File(dir + "/a")
		must(t, err)
		return d.Hex()
	}
	if got := read(); got != now.Hex() {
		t.Errorf("the cache was not used: %s", got)
	}
	// Damaged in any byte, or cut, it counts as empty.
	planted, err := os.ReadFile(store)
	must(t, err)
	for i := 0; i < len(planted); i += 3 {
		bad := bytes.Clone(planted)
		bad[i] ^= 0x40
		must(t, os.WriteFile(store, bad, 0o600))
		if got := read(); got != old.Hex() {
			t.Fatalf("byte %d is damaged, and the cache was used: %s", i, got)
		}
		must(t, os.WriteFile(store, planted[:i], 0o600))
		if got := read(); got != old.Hex() {
			t.Fatalf("cut at %d, and the cache was used: %s", i, got)
		}
	}
	// Another key: the entry does not count.
	must(t, os.WriteFile(store, planted, 0o600))
	must(t, os.Chtimes(dir+"/a", epoch, epoch))
	if got := read(); got != old.Hex() {
		t.Errorf("a changed stat key, and the cache was used: %s", got)
	}
}

// FuzzCache: any file of the right checksum is read without a panic.
func FuzzCache(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1, 'a'})
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Add(append([]byte{1, 1, 'a', 0, 0, 0, 0, 0}, make([]byte, 40)...))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, body []byte) {
		p := filepath.Join(dir, "c")
		must(t, fsx.Plain.WriteChecked(p, "gorules digests 1\n", body))
		must(t, source.LoadCache(p).Save(filepath.Join(dir, "d")))
	})
}
