package run

import (
	"context"

	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
	"gorules/executor/internal/tree"
)

// EncodeFrame is an entry of DiskCache as it stands on disk.
func EncodeFrame(key digest.Digest, tier string, message []byte) []byte {
	return frame{key, tier, message}.encode()
}

// MirrorAt makes the folder dir show trees whose content store has.
func MirrorAt(dir, boot string, store *cas.Disk) (show func(context.Context, *tree.Tree) (string, error), torn func(string) bool) {
	m := &mirror{dir: dir, blobs: blobs{store: store, fs: fsx.Plain}, boot: boot}
	return m.show, m.isTorn
}

// Looked is what counts of what a process looked at.
var Looked = looked
