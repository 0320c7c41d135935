package analysis

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

// configuration is the configuration that a target is seen in. It is read-only;
// equal configurations are the same pointer within one Analyzer.
type configuration struct {
	id       string // "" for that of the command line
	settings map[label.Label]starlark.Value
	options  map[string]string
	define   map[string]string
	platform label.Label // zero: the host
}

// cpuName is what Bazel calls the machine in output paths.
func cpuName() string {
	if runtime.GOARCH == "amd64" {
		return "k8"
	}
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return runtime.GOARCH
}

func newConfiguration(c Config) *configuration {
	cfg := &configuration{
		settings: map[label.Label]starlark.Value{},
		options:  map[string]string{"compilation_mode": "fastbuild", "cpu": cpuName(), "host_cpu": cpuName(), "stamp": "false"},
		define:   maps.Clone(c.Define),
		platform: c.Platform,
	}
	for l, v := range c.BuildSettings {
		cfg.settings[l] = starlark.String(v)
	}
	maps.Copy(cfg.options, c.Options)
	return cfg
}

// outDir is where outputs of the configuration stand, relative to the workspace.
func (c *configuration) outDir() string {
	dir := c.options["cpu"] + "-" + c.options["compilation_mode"]
	if c.id != "" {
		dir += "-ST-" + c.id
	}
	return "bazel-out/" + dir + "/bin"
}

const optionPrefix = "//command_line_option:"

// option returns the value of "//command_line_option:name" for a transition.
func (c *configuration) option(name string) starlark.Value {
	v := c.options[name]
	switch name {
	case "platforms":
		if c.platform.IsZero() {
			return starlark.NewList([]starlark.Value{starlark.String(hostPlatformLabel.Canonical())})
		}
		return starlark.NewList([]starlark.Value{starlark.String(c.platform.Canonical())})
	case "features", "copt", "cxxopt", "linkopt":
		var out []starlark.Value
		if v != "" {
			for s := range strings.SplitSeq(v, "\n") {
				out = append(out, starlark.String(s))
			}
		}
		return starlark.NewList(out)
	}
	switch v {
	case "true":
		return starlark.True
	case "false":
		return starlark.False
	}
	return starlark.String(v)
}

// with returns the configuration with some settings changed; keys are labels of
// build settings, or "//command_line_option:name".
func (a *Analyzer) with(c *configuration, changes map[string]starlark.Value, parse func(string) (label.Label, error)) (*configuration, error) {
	n := &configuration{settings: maps.Clone(c.settings), options: maps.Clone(c.options), define: c.define, platform: c.platform}
	for _, k := range slices.Sorted(maps.Keys(changes)) {
		v := changes[k]
		if name, ok := strings.CutPrefix(k, optionPrefix); ok {
			if name == "platforms" {
				l, err := parse(firstText(v))
				if err != nil {
					return nil, fmt.Errorf("%s: %w", k, err)
				}
				n.platform = l
				continue
			}
			n.options[name] = optionText(v)
			continue
		}
		l, err := parse(k)
		if err != nil {
			return nil, err
		}
		n.settings[l] = v
	}
	return a.intern(n), nil
}

func firstText(v starlark.Value) string {
	if it, ok := v.(starlark.Indexable); ok {
		if _, isString := v.(starlark.String); !isString && it.Len() > 0 {
			v = it.Index(0)
		}
	}
	return textOf(v)
}

// optionText is a setting as the command line would give it.
func optionText(v starlark.Value) string {
	switch v := v.(type) {
	case starlark.Bool:
		return strings.ToLower(v.String())
	case starlark.Iterable:
		var parts []string
		for e := range starlark.Elements(v) {
			parts = append(parts, textOf(e))
		}
		return strings.Join(parts, "\n")
	}
	text := textOf(v)
	if text == "True" || text == "False" {
		return strings.ToLower(text)
	}
	return text
}

// intern returns the one configuration equal to n.
func (a *Analyzer) intern(n *configuration) *configuration {
	text := n.fingerprint()
	if text == a.base.fingerprint() {
		return a.base
	}
	sum := sha256.Sum256([]byte(text))
	n.id = hex.EncodeToString(sum[:])[:12]
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.configs[n.id]; old != nil {
		return old
	}
	a.configs[n.id] = n
	return n
}

func (c *configuration) fingerprint() string {
	var b strings.Builder
	labels := slices.SortedFunc(maps.Keys(c.settings), label.Label.Compare)
	for _, l := range labels {
		fmt.Fprintf(&b, "%s=%s\n", l, textOf(c.settings[l]))
	}
	for _, k := range slices.Sorted(maps.Keys(c.options)) {
		fmt.Fprintf(&b, "--%s=%q\n", k, c.options[k])
	}
	fmt.Fprintf(&b, "platform=%s\n", c.platform)
	return b.String()
}
