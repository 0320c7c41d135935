package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"gorules/executor/internal/action"
	"gorules/executor/internal/digest"
)

// Observations remember what runs of an action looked at, by the key of the action
// as it is declared. They are hints: what is lost costs a run.
type Observations interface {
	// Known returns those of key, the newest first.
	Known(key digest.Digest) []action.Observation

	// Add puts o before them, and forgets the oldest.
	Add(key digest.Digest, o action.Observation) error
}

// maxObservations is how many observations of one action are kept. Each stands for
// a state of the files, and looking at one costs about what it takes to compare
// its files.
const maxObservations = 16

// observationsKey names the entry of a DiskCache that holds the observations of
// key: that of an action that never runs.
func observationsKey(key digest.Digest) digest.Digest {
	return digest.Of([]byte("gorules observations 1\n" + key.String() + "\n"))
}

// Known implements Observations.
func (c *DiskCache) Known(key digest.Digest) []action.Observation {
	raw, err := c.fs.ReadFile(c.path(observationsKey(key)), maxFrame)
	if err != nil {
		return nil
	}
	f, err := decodeFrame(raw)
	if err != nil || f.key != observationsKey(key) || f.tier != c.tier {
		return nil
	}
	m := &remote.ActionResult{}
	if proto.Unmarshal(f.message, m) != nil {
		return nil
	}
	all, err := decodeObservations(m.StdoutRaw)
	if err != nil {
		return nil
	}
	return all
}

// Add implements Observations.
func (c *DiskCache) Add(key digest.Digest, o action.Observation) error {
	known := c.Known(key)
	if len(known) > 0 && slices.Equal(known[0], o) {
		return nil
	}
	all := append([]action.Observation{o}, slices.DeleteFunc(known, func(k action.Observation) bool { return slices.Equal(k, o) })...)
	text, err := encodeObservations(all[:min(len(all), maxObservations)])
	if err != nil {
		return err
	}
	blob, _, err := digest.OfMessage(&remote.ActionResult{StdoutRaw: text})
	if err != nil {
		return err
	}
	k := observationsKey(key)
	return c.write(c.path(k), frame{k, c.tier, blob}.encode())
}

// encodeObservations writes, of each observation, the number of its looks, and of
// each look how much its path has in common with the one before it, the rest of
// the path, and what was looked at.
func encodeObservations(all []action.Observation) ([]byte, error) {
	b := binary.AppendUvarint(nil, uint64(len(all)))
	for _, o := range all {
		b = binary.AppendUvarint(b, uint64(len(o)))
		before := ""
		for _, l := range o {
			n := 0
			for n < len(before) && n < len(l.Path) && before[n] == l.Path[n] {
				n++
			}
			b = binary.AppendUvarint(b, uint64(n))
			b = binary.AppendUvarint(b, uint64(len(l.Path)-n))
			b = append(append(b, l.Path[n:]...), byte(l.What))
			before = l.Path
		}
	}
	var out bytes.Buffer
	z, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	_, err = z.Write(b)
	err = errors.Join(err, z.Close())
	return out.Bytes(), err
}

var errObservations = errors.New("damaged observations")

func decodeObservations(packed []byte) ([]action.Observation, error) {
	z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	b, err := io.ReadAll(io.LimitReader(z, maxFrame))
	if err != nil {
		return nil, err
	}
	bad := false
	number := func() int {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > maxFrame {
			bad = true
			return 0
		}
		b = b[n:]
		return int(v)
	}
	var all []action.Observation
	for range min(number(), maxObservations) {
		o := action.Observation{}
		before := ""
		for range number() {
			same, more := number(), number()
			if bad || same > len(before) || more+1 > len(b) {
				return nil, errObservations
			}
			l := action.Look{Path: before[:same] + string(b[:more]), What: action.What(b[more])}
			b = b[more+1:]
			// Whoever writes there could lead a look out of the scopes otherwise.
			if !path.IsAbs(l.Path) || path.Clean(l.Path) != l.Path || strings.ContainsRune(l.Path, 0) {
				return nil, errObservations
			}
			o = append(o, l)
			before = l.Path
		}
		all = append(all, o)
	}
	if bad || len(b) != 0 {
		return nil, errObservations
	}
	return all, nil
}
