package bzl

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/pelletier/go-toml/v2"
	"go.starlark.net/starlark"
)

// gorulesModule holds what gorules has beyond Bazel's API.
func gorulesModule() starlark.Value {
	return module("gorules", starlark.StringDict{
		"sha256": starlark.NewBuiltin("gorules.sha256", func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			var s string
			if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &s); err != nil {
				return nil, err
			}
			sum := sha256.Sum256([]byte(s))
			return starlark.String(hex.EncodeToString(sum[:])), nil
		}),
		"toml_decode": starlark.NewBuiltin("gorules.toml_decode", tomlDecode),
	})
}

// tomlDecode returns tables as dicts with sorted keys, dates and times as the
// strings TOML writes.
func tomlDecode(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	var text string
	if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &text); err != nil {
		return nil, err
	}
	doc := map[string]any{}
	if err := toml.Unmarshal([]byte(text), &doc); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, col := at.Position()
			return nil, fmt.Errorf("toml_decode: line %d, column %d: %s", line, col, at.Error())
		}
		return nil, fmt.Errorf("toml_decode: %w", err)
	}
	return tomlValue(doc)
}

func tomlValue(x any) (starlark.Value, error) {
	switch x := x.(type) {
	case string:
		return starlark.String(x), nil
	case bool:
		return starlark.Bool(x), nil
	case int64:
		return starlark.MakeInt64(x), nil
	case float64:
		return starlark.Float(x), nil
	case []any:
		out := make([]starlark.Value, len(x))
		for i, e := range x {
			v, err := tomlValue(e)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return starlark.NewList(out), nil
	case map[string]any:
		d := starlark.NewDict(len(x))
		for _, k := range sortedNames(x) {
			v, err := tomlValue(x[k])
			if err != nil {
				return nil, err
			}
			if err := d.SetKey(starlark.String(k), v); err != nil {
				return nil, err
			}
		}
		return d, nil
	case time.Time:
		return starlark.String(x.Format(time.RFC3339Nano)), nil
	case fmt.Stringer: // toml.LocalDate and its siblings
		return starlark.String(x.String()), nil
	}
	return nil, fmt.Errorf("toml_decode: a value of type %T is not supported", x)
}
