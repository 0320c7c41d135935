package cas

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxDamaged bounds what is kept of damaged files, for those who want to know
// what happened to them.
const maxDamaged = 64

// setAside takes what st tells of away from p, a blob's place. It is false, and
// p to be looked at again, if something else stands there by now: another process
// has stored the right bytes.
func (s *Disk) setAside(p string, st *unix.Stat_t) bool {
	var now unix.Stat_t
	if unix.Lstat(p, &now) == nil && now.Ino != st.Ino {
		return false
	}
	to := ""
	dir := filepath.Join(s.root, "damaged")
	if es, err := os.ReadDir(dir); len(es) < maxDamaged && (err == nil || s.mkdir(dir) == nil) {
		to = filepath.Join(dir, filepath.Base(p)+"."+hex.EncodeToString(binary.LittleEndian.AppendUint32(nil, rand.Uint32())))
		if s.fs.Rename(p, to) != nil {
			to = ""
		}
	}
	if to == "" {
		if s.fs.RemoveAll(p) == nil {
			s.damaged("")
		}
		return true
	}
	if unix.Lstat(to, &now) == nil && now.Ino != st.Ino { // between the two looks
		_ = s.fs.Link(to, p) // fails where a third process has stored it, too
		_ = s.fs.Remove(to)
		return false
	}
	s.damaged(to)
	return true
}
