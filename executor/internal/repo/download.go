package repo

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/fsx"
	"gorules/executor/regular"
)

// Tries of one URL, and the wait before the second one, which doubles.
const (
	downloadTries = 3
	firstWait     = 500 * time.Millisecond
)

// checksum is what a download has to be; the zero value asks for nothing.
type checksum struct {
	algorithm string // "sha256", "sha384", "sha512"
	sum       []byte
}

func (s checksum) hash() hash.Hash {
	switch s.algorithm {
	case "sha384":
		return sha512.New384()
	case "sha512":
		return sha512.New()
	}
	return sha256.New()
}

func parseChecksum(sha, integrity string) (checksum, error) {
	switch {
	case sha != "" && integrity != "":
		return checksum{}, fmt.Errorf("give sha256 or integrity, not both")
	case sha != "":
		sum, err := hex.DecodeString(sha)
		if err != nil || len(sum) != sha256.Size {
			return checksum{}, fmt.Errorf("sha256: expected 64 hexadecimal digits, got %q", sha)
		}
		return checksum{"sha256", sum}, nil
	case integrity != "":
		algorithm, text, _ := strings.Cut(integrity, "-")
		s := checksum{algorithm: algorithm}
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || algorithm != "sha256" && algorithm != "sha384" && algorithm != "sha512" || len(sum) != s.hash().Size() {
			return checksum{}, fmt.Errorf("integrity: expected sha256-, sha384- or sha512-BASE64, got %q", integrity)
		}
		s.sum = sum
		return s, nil
	}
	return checksum{}, nil
}

// downloadArgs are the keywords that both download functions take.
type downloadArgs struct {
	urls             []string
	output           starlark.Value
	sha, integrity   string
	executable       bool
	allowFail        bool
	headers          *starlark.Dict
	kind, strip      string
	rename           *starlark.Dict
	canonical, block starlark.Value
	auth             starlark.Value
}

func (c *repoContext) download(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var in downloadArgs
	var from starlark.Value
	in.output = starlark.String("")
	if err := starlark.UnpackArgs(name, args, kwargs, "url", &from, "output?", &in.output, "sha256?", &in.sha, "executable?", &in.executable,
		"allow_fail?", &in.allowFail, "canonical_id?", &in.canonical, "auth?", &in.auth, "headers?", &in.headers, "integrity?", &in.integrity,
		"block?", &in.block); err != nil {
		return nil, err
	}
	file, sum, err := c.obtain(&in, from)
	if err != nil {
		return failure(err, in.allowFail)
	}
	if in.output == starlark.String("") {
		in.output = starlark.String(path.Base(in.urls[0]))
	}
	to, err := c.output(in.output)
	if err != nil {
		return nil, err
	}
	if err := copyFile(file, to, modeOf(in.executable)); err != nil {
		return nil, err
	}
	return success(sum), nil
}

func (c *repoContext) downloadAndExtract(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var in downloadArgs
	var from starlark.Value
	var strip2 string
	in.output = starlark.String("")
	if err := starlark.UnpackArgs(name, args, kwargs, "url", &from, "output?", &in.output, "sha256?", &in.sha, "type?", &in.kind,
		"strip_prefix?", &in.strip, "allow_fail?", &in.allowFail, "canonical_id?", &in.canonical, "auth?", &in.auth, "headers?", &in.headers,
		"integrity?", &in.integrity, "rename_files?", &in.rename, "stripPrefix?", &strip2); err != nil {
		return nil, err
	}
	file, sum, err := c.obtain(&in, from)
	if err != nil {
		return failure(err, in.allowFail)
	}
	if in.kind == "" {
		in.kind = kindOfURL(in.urls[0])
	}
	return success(sum), c.unpackInto(file, in.urls[0], in.output, in.kind, in.strip+strip2, in.rename)
}

func (c *repoContext) extract(name string, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var archive starlark.Value
	var output starlark.Value = starlark.String("")
	var strip, strip2, kind string
	var rename *starlark.Dict
	watch := "auto"
	if err := starlark.UnpackArgs(name, args, kwargs, "archive", &archive, "output?", &output, "strip_prefix?", &strip,
		"rename_files?", &rename, "watch_archive?", &watch, "stripPrefix?", &strip2, "type?", &kind); err != nil {
		return nil, err
	}
	p, err := c.existing(archive)
	if err != nil {
		return nil, err
	}
	if err := c.watch(p, watch); err != nil {
		return nil, err
	}
	return starlark.None, c.unpackInto(p, filepath.Base(p), output, kind, strip+strip2, rename)
}

func (c *repoContext) unpackInto(file, name string, output starlark.Value, kind, strip string, rename *starlark.Dict) error {
	to, err := c.path(output)
	if err != nil {
		return err
	}
	at, err := filepath.Rel(c.dir, to)
	if err != nil || !c.inside(to) {
		return fmt.Errorf("cannot write outside of the repository directory: %s", to)
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(at, 0o755); err != nil {
		return err
	}
	into, err := root.OpenRoot(at)
	if err != nil {
		return err
	}
	defer into.Close()
	names := map[string]string{}
	if rename != nil {
		for _, item := range rename.Items() {
			names[bzl.Str(item[0])] = bzl.Str(item[1])
		}
	}
	links, err := unpack(file, into, kind, strip, names, c.r.opts.Limits)
	for _, l := range links {
		c.links = append(c.links, filepath.Join(at, l))
	}
	if err == nil {
		err = checkLinks(root, c.links)
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	return nil
}

// kindOfURL tells the archive format by the last part of a URL; "" if it does not.
func kindOfURL(text string) string {
	name := text
	if u, err := url.Parse(text); err == nil {
		name = u.Path
	}
	for _, k := range archiveKinds {
		if strings.HasSuffix(name, "."+k.suffix) {
			return k.suffix
		}
	}
	return ""
}

func success(sha string) starlark.Value {
	raw, _ := hex.DecodeString(sha) // sha is what hex.EncodeToString gave
	return starlarkstruct.FromStringDict(starlark.String("struct"), starlark.StringDict{
		"success": starlark.True, "sha256": starlark.String(sha),
		"integrity": starlark.String("sha256-" + base64.StdEncoding.EncodeToString(raw)),
	})
}

func failure(err error, allowed bool) (starlark.Value, error) {
	var bad *checksumError
	if !allowed || errors.As(err, &bad) || errors.Is(err, context.Canceled) {
		return nil, err
	}
	return starlarkstruct.FromStringDict(starlark.String("struct"), starlark.StringDict{"success": starlark.False}), nil
}

// checksumError says that something was downloaded, but not what was asked for.
type checksumError struct{ url, want, got string }

func (e *checksumError) Error() string {
	return fmt.Sprintf("checksum mismatch of %s\n    expected %s\n    got      %s", e.url, e.want, e.got)
}

// obtain returns a file with what the URLs hold, from the store of downloads or
// the network, and its SHA-256. A download that no checksum pins is pinned in
// gorules.lock.
func (c *repoContext) obtain(in *downloadArgs, from starlark.Value) (string, string, error) {
	var err error
	if s, ok := starlark.AsString(from); ok {
		in.urls = []string{s}
	} else if in.urls, err = stringsOf("url", from); err != nil {
		return "", "", err
	}
	if len(in.urls) == 0 {
		return "", "", fmt.Errorf("url: the list is empty")
	}
	want, err := parseChecksum(in.sha, in.integrity)
	if err != nil {
		return "", "", err
	}
	key := ""
	if want.sum == nil {
		key = "download:" + strings.Map(func(r rune) rune {
			if r <= ' ' || r == '#' {
				return '_'
			}
			return r
		}, in.urls[0])
		pinned, ok, err := c.r.lock.get(key)
		if err != nil {
			return "", "", err
		}
		switch {
		case ok:
			if want, err = parseChecksum(strings.TrimPrefix(pinned, "sha256:"), ""); err != nil {
				return "", "", fmt.Errorf("%s: %s: %w", lockFileName, key, err)
			}
			c.made.Lock[key] = pinned
		case c.r.lock.mode == LockError:
			return "", "", fmt.Errorf("%s has neither sha256 nor integrity, nor a line in %s: add sha256 = \"...\", or run once without --lockfile_mode=error", in.urls[0], lockFileName)
		}
	}
	store := filepath.Join(c.r.opts.OutputRoot, "downloads")
	if want.algorithm == "sha256" {
		if p := filepath.Join(store, hex.EncodeToString(want.sum)); fileIs(p, want) {
			return p, hex.EncodeToString(want.sum), nil
		}
	}
	if err := fsx.Plain.Folder(c.r.opts.OutputRoot, "downloads", 0o700); err != nil {
		return "", "", err
	}
	var failures []string
	for _, u := range in.urls {
		file, sum, err := c.get(u, in.headers, want, store)
		if err == nil {
			if key != "" {
				err = c.pin(key, "sha256:"+sum)
			}
			return file, sum, err
		}
		if c.ctx.Err() != nil {
			return "", "", context.Cause(c.ctx)
		}
		var bad *checksumError
		if errors.As(err, &bad) {
			return "", "", err
		}
		failures = append(failures, fmt.Sprintf("%s: %v", u, err))
	}
	return "", "", fmt.Errorf("download failed:\n    %s", strings.Join(failures, "\n    "))
}

// fileIs reports whether a stored download is whole.
func fileIs(p string, want checksum) bool {
	f, err := fsx.Plain.OpenFile(p)
	if err != nil {
		return false
	}
	defer f.Close()
	h := want.hash()
	if _, err := io.Copy(h, f); err != nil {
		return false
	}
	return string(h.Sum(nil)) == string(want.sum)
}

// get downloads one URL into the store. What may go better another time is tried
// again: after a while that doubles and differs between machines, or after the
// time that the server names.
func (c *repoContext) get(u string, headers *starlark.Dict, want checksum, store string) (file, sum string, err error) {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval = firstWait
	_, err = backoff.Retry(c.ctx, func() (_ struct{}, err error) {
		file, sum, err = c.getOnce(u, headers, want, store)
		return struct{}{}, err
	}, backoff.WithBackOff(waits), backoff.WithMaxTries(downloadTries), backoff.WithMaxElapsedTime(0))
	return file, sum, err
}

// getOnce tries once. An error is Permanent where another try is no use.
func (c *repoContext) getOnce(u string, headers *starlark.Dict, want checksum, store string) (file, sum string, err error) {
	body, err := c.open(u, headers)
	if err != nil {
		return "", "", err
	}
	defer body.Close()
	tmp, err := os.CreateTemp(store, "tmp-")
	if err != nil {
		return "", "", backoff.Permanent(err)
	}
	defer os.Remove(tmp.Name())
	h, sha := want.hash(), sha256.New()
	limit := c.r.opts.Limits.orDefaults().Download
	n, err := io.Copy(io.MultiWriter(tmp, h, sha), io.LimitReader(body, limit+1))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return "", "", err
	}
	if n > limit {
		return "", "", backoff.Permanent(fmt.Errorf("it is larger than %d bytes; allow more with --max_download_size", limit))
	}
	if got := h.Sum(nil); want.sum != nil && string(got) != string(want.sum) {
		return "", "", backoff.Permanent(&checksumError{u, want.algorithm + " " + hex.EncodeToString(want.sum), want.algorithm + " " + hex.EncodeToString(got)})
	}
	sum = hex.EncodeToString(sha.Sum(nil))
	file = filepath.Join(store, sum)
	if err := fsx.Plain.Replace(tmp.Name(), file); err != nil {
		return "", "", backoff.Permanent(err)
	}
	return file, sum, nil
}

// open starts reading a URL. An error is Permanent where another try is no use.
func (c *repoContext) open(u string, headers *starlark.Dict) (io.ReadCloser, error) {
	parsed, err := url.Parse(u)
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	switch parsed.Scheme {
	case "file":
		f, err := regular.Open(parsed.Path)
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		return f, nil
	case "http", "https":
	default:
		return nil, backoff.Permanent(errors.New("expected a http, https or file URL"))
	}
	ctx, cancel := context.WithCancelCause(c.ctx)
	stall := time.AfterFunc(stallTime, func() { cancel(errStalled) })
	body := &watchedBody{stall: stall, cancel: cancel}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		body.Close()
		return nil, backoff.Permanent(err)
	}
	req.Header.Set("Accept-Encoding", "identity") // the archive itself, not its content
	if headers != nil {
		for _, item := range headers.Items() {
			values := []string{bzl.Str(item[1])}
			if l, ok := item[1].(*starlark.List); ok {
				if values, err = stringsOf("headers", l); err != nil {
					body.Close()
					return nil, backoff.Permanent(err)
				}
			}
			for _, v := range values {
				req.Header.Add(bzl.Str(item[0]), v)
			}
		}
	}
	resp, err := c.r.opts.HTTP.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		body.Close()
		return nil, err
	}
	body.ReadCloser, body.ctx = resp.Body, ctx
	if resp.StatusCode != http.StatusOK {
		body.Close()
		return nil, refusal(resp)
	}
	return body, nil
}

// maxWait is the longest that a server may ask us to wait.
const maxWait = time.Minute

// refusal words an answer other than 200.
func refusal(resp *http.Response) error {
	err := fmt.Errorf("the server answered %s", resp.Status)
	if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
		return backoff.Permanent(err)
	}
	after := resp.Header.Get("Retry-After") // seconds, or a date (RFC 9110, 10.2.3)
	if after == "" {
		return err
	}
	wait := time.Duration(0)
	if n, aerr := strconv.Atoi(after); aerr == nil {
		wait = time.Duration(n) * time.Second
	} else if date, derr := http.ParseTime(after); derr == nil {
		wait = time.Until(date)
	}
	if wait > maxWait {
		return backoff.Permanent(fmt.Errorf("%w, and asks to come back in %v", err, wait.Round(time.Second)))
	}
	return fmt.Errorf("%w: %w", err, &backoff.RetryAfterError{Duration: max(wait, 0)})
}

// stallTime is how long a server may send nothing.
const stallTime = time.Minute

var errStalled = fmt.Errorf("the server sent nothing for %v", stallTime)

// watchedBody gives up when nothing comes for stallTime.
type watchedBody struct {
	io.ReadCloser // nil until the response is there
	ctx           context.Context
	stall         *time.Timer
	cancel        context.CancelCauseFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.stall.Reset(stallTime)
	}
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.stall.Stop()
	defer b.cancel(nil)
	if b.ReadCloser == nil {
		return nil
	}
	return b.ReadCloser.Close()
}

func copyFile(from, to string, mode os.FileMode) error {
	in, err := regular.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := ignoreMissing(os.Remove(to)); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(mode)
	}
	return errors.Join(err, out.Close())
}

// stringsOf takes a list of strings.
func stringsOf(what string, v starlark.Value) ([]string, error) {
	it, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("%s: expected a string or a list of strings, got %s", what, v.Type())
	}
	var out []string
	for e := range starlark.Elements(it) {
		s, ok := starlark.AsString(e)
		if !ok {
			return nil, fmt.Errorf("%s: expected strings, got %s", what, e.Type())
		}
		out = append(out, s)
	}
	return out, nil
}
