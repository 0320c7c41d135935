package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	remote "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"

	"gorules/executor/internal/action"
	"gorules/executor/internal/cas"
	"gorules/executor/internal/digest"
	"gorules/executor/internal/fsx"
)

// DiskHit is what Result.Cache says of a result from a DiskCache.
const DiskHit = "disk cache hit"

// DiskCache is an action cache in a folder: ac/<2 hex>/<64 hex> below its root,
// one framed remote.ActionResult a file.
//
// An entry is renamed into place after the blobs it names were, so a process
// that is killed at any moment leaves no entry without its blobs. It is seen by
// other processes at once and is not synced: what a power loss leaves of an
// entry or of its blobs is found by checksum (see cas.Disk) and is a miss.
//
// An entry's modification time says when it was last used, at most an hour
// behind. Entries are not pinned: one that is collected was read before, or is
// a miss, and its blobs are pinned where they are used.
type DiskCache struct {
	// Workspace is the id of the one whose results are recorded.
	Workspace string

	root  string
	tier  string
	store cas.Store
	fs    *fsx.FS
	mode  fs.FileMode
}

// OpenDiskCache opens the cache at root, which is made if it is missing; store
// has the blobs. Results of another tier are not found.
func OpenDiskCache(root, tier string, store cas.Store, fsys *fsx.FS) (*DiskCache, error) {
	c := &DiskCache{root: root, tier: tier, store: store, fs: fsys, mode: 0o700}
	if err := fsys.MkdirAll(root, c.mode); err != nil {
		return nil, fmt.Errorf("action cache %s: %w", root, err)
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, fmt.Errorf("action cache: %w", err)
	}
	c.mode = fsx.ModeBelow(info)
	if err := fsys.Folder(root, "ac", c.mode); err != nil {
		return nil, fmt.Errorf("action cache %s: %w", root, err)
	}
	fsys.Spread(filepath.Join(root, "ac"))
	fsys.Sweep(filepath.Join(root, "ac"), "tmp-")
	return c, nil
}

func (c *DiskCache) path(d digest.Digest) string {
	h := d.Hex()
	return filepath.Join(c.root, "ac", h[:2], h)
}

// Lookup implements ActionCache.
func (c *DiskCache) Lookup(ctx context.Context, b *action.Bound) (Result, bool, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, false, err
	}
	raw, err := c.fs.ReadFile(c.path(b.Digest), maxFrame)
	if err != nil {
		return Result{}, false, nil
	}
	f, err := decodeFrame(raw)
	if err != nil || f.key != b.Digest || f.tier != c.tier {
		return Result{}, false, nil
	}
	m := &remote.ActionResult{}
	if proto.Unmarshal(f.message, m) != nil {
		return Result{}, false, nil
	}
	res, err := Decode(ctx, c.store, b, m)
	if err != nil {
		return Result{}, false, ctx.Err()
	}
	if !Cacheable(b, res) {
		return Result{}, false, nil
	}
	p := c.path(b.Digest)
	if info, err := os.Lstat(p); err == nil && time.Since(info.ModTime()) > fsx.Granularity {
		c.fs.Times(p, time.Now()) // best effort
	}
	res.Cache = DiskHit
	return res, true, nil
}

// Record implements ActionCache.
func (c *DiskCache) Record(ctx context.Context, b *action.Bound, res Result) error {
	if !Cacheable(b, res) {
		return fmt.Errorf("recording action %s: exit code %d, %q is no result to keep", res.Key, res.ExitCode, Judge(b, res))
	}
	m, err := Encode(ctx, c.store, b, res)
	if err != nil {
		return fmt.Errorf("recording action %s: %w", res.Key, err)
	}
	origin, err := Origin{c.Workspace, toolchain(b)}.encode()
	if err != nil {
		return fmt.Errorf("recording action %s: %w", res.Key, err)
	}
	m.ExecutionMetadata.AuxiliaryMetadata = append(m.ExecutionMetadata.AuxiliaryMetadata, origin)
	blob, _, err := digest.OfMessage(m)
	if err != nil {
		return fmt.Errorf("recording action %s: %w", res.Key, err)
	}
	if err := c.write(c.path(res.Key), frame{res.Key, c.tier, blob}.encode()); err != nil {
		return fmt.Errorf("recording action %s: %w", res.Key, err)
	}
	return nil
}

// write makes p hold b. A folder of entries is made with the first of them, also
// where something that is no folder stands in its place.
func (c *DiskCache) write(p string, b []byte) error {
	top := filepath.Join(c.root, "ac")
	f, err := c.fs.CreateTemp(top, "tmp-", 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.fs.Folder(top, filepath.Base(filepath.Dir(p)), c.mode)
	}
	if err == nil {
		err = c.fs.Replace(f.Name(), p)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
