package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
type DiskCache struct {
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
	c.mode = info.Mode().Perm() | 0o700
	if err := c.mkdir(filepath.Join(root, "ac")); err != nil {
		return nil, fmt.Errorf("action cache %s: %w", root, err)
	}
	fsys.Spread(filepath.Join(root, "ac"))
	fsys.Sweep(filepath.Join(root, "ac"), "tmp-")
	return c, nil
}

func (c *DiskCache) mkdir(p string) error {
	err := c.fs.Mkdir(p, c.mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = os.Chmod(p, c.mode)
	}
	return err
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
	file, err := c.fs.OpenFile(c.path(b.Digest))
	if err != nil {
		return Result{}, false, nil
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFrame+1))
	if err != nil || len(raw) > maxFrame {
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
	blob, _, err := digest.OfMessage(m)
	if err != nil {
		return fmt.Errorf("recording action %s: %w", res.Key, err)
	}
	if err := c.write(c.path(res.Key), frame{res.Key, c.tier, blob}.encode()); err != nil {
		return fmt.Errorf("recording action %s: %w", res.Key, err)
	}
	return nil
}

func (c *DiskCache) write(p string, b []byte) error {
	f, err := c.fs.CreateTemp(filepath.Join(c.root, "ac"), "tmp-", 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = c.fs.Rename(f.Name(), p)
		if errors.Is(err, fs.ErrNotExist) {
			if err = c.mkdir(filepath.Dir(p)); err == nil {
				err = c.fs.Rename(f.Name(), p)
			}
		} else if err != nil && os.RemoveAll(p) == nil { // a directory in its place
			err = c.fs.Rename(f.Name(), p)
		}
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
