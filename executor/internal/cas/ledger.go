package cas

import (
	"bytes"
	"encoding/binary"
	"os"
	"slices"
	"sort"
	"strings"

	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// A ledger is what the processes of this boot found out about files: which held
// the bytes of their names, and what change time they had then. It is one sorted
// array of records, which a command reads in one piece and looks up in place.
//
// It is only a memory: whatever is wrong with its file, or if that is of another
// boot, all files are hashed again. Two processes that write it at once may lose
// what one of them found, which costs the same.
type ledger struct {
	fs    *fsx.FS
	path  string
	magic string
	all   []byte // sorted records
	boot  bool   // whether the kernel tells which boot this is
}

// A record is a witness and its file's change time, in an order in which bytes
// compare as witnesses do.
type record [recordKey + 8]byte

const recordKey = len(digest.Digest{}.Hash) + 1 + 8 + 8

// maxRecords bounds the file: 55 MB. Beyond it what is known begins anew.
const maxRecords = 1_000_000

func newRecord(w witness, ctime int64) (r record) {
	k := w.key()
	copy(r[:], k[:])
	binary.BigEndian.PutUint64(r[recordKey:], uint64(ctime))
	return r
}

func (w witness) key() (k [recordKey]byte) {
	n := copy(k[:], w.d.Hash[:])
	if w.x {
		k[n] = 1
	}
	binary.BigEndian.PutUint64(k[n+1:], w.dev)
	binary.BigEndian.PutUint64(k[n+9:], w.ino)
	return k
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

func openLedger(f *fsx.FS, path, boot string) *ledger {
	l := &ledger{fs: f, path: path, magic: "gorules verified 1\n" + boot + "\n", boot: boot != ""}
	l.read()
	return l
}

func (l *ledger) read() {
	l.all = nil
	if !l.boot {
		return
	}
	b, ok := l.fs.ReadChecked(l.path, l.magic)
	if ok && len(b)%len(record{}) == 0 {
		l.all = b
	}
}

func (l *ledger) at(i int) []byte { return l.all[i*len(record{}) : (i+1)*len(record{})] }

// find returns the change time at which w's file was known to be right.
func (l *ledger) find(w witness) (ctime int64, ok bool) {
	k := w.key()
	n := len(l.all) / len(record{})
	i := sort.Search(n, func(i int) bool { return bytes.Compare(l.at(i)[:recordKey], k[:]) >= 0 })
	if i == n || !bytes.Equal(l.at(i)[:recordKey], k[:]) {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(l.at(i)[recordKey:])), true
}

// add writes rs to the file, beside what others have written meanwhile.
func (l *ledger) add(rs []record) error {
	fresh := rs[:0]
	for _, r := range rs {
		if !l.has(r) {
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 || !l.boot {
		return nil
	}
	l.read()
	slices.SortFunc(fresh, func(a, b record) int { return bytes.Compare(a[:], b[:]) })
	n := len(l.all) / len(record{})
	if n > maxRecords {
		n = 0
	}
	out := make([]byte, 0, n*len(record{})+len(fresh)*len(record{}))
	i := 0
	for _, r := range fresh {
		for ; i < n; i++ {
			c := bytes.Compare(l.at(i)[:recordKey], r[:recordKey])
			if c > 0 {
				break
			}
			if c < 0 {
				out = append(out, l.at(i)...)
			}
		}
		out = append(out, r[:]...)
	}
	out = append(out, l.all[i*len(record{}):n*len(record{})]...)
	l.all = out
	return l.fs.WriteChecked(l.path, l.magic, out)
}

func (l *ledger) has(r record) bool {
	n := len(l.all) / len(record{})
	i := sort.Search(n, func(i int) bool { return bytes.Compare(l.at(i), r[:]) >= 0 })
	return i < n && bytes.Equal(l.at(i), r[:])
}
