package analysis

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"gorules/executor/internal/bzl"
	"gorules/executor/internal/loading"
	"gorules/executor/label"
)

// CheckFlags says whether the build settings of the command line exist, may be
// set there, and have values of their types. Its errors are of the user's command line.
func (a *Analyzer) CheckFlags(ctx context.Context) error {
	settings := a.opts.Config.BuildSettings
	for _, l := range slices.SortedFunc(maps.Keys(settings), label.Label.Compare) {
		t, err := a.opts.Loader.Target(ctx, l)
		if err != nil {
			return fmt.Errorf("--%s: %w", l, err)
		}
		if t.Kind == loading.Rule && t.Class.Name == "label_flag" {
			if _, err := (bzl.Scope{}).Label(settings[l]); err != nil {
				return fmt.Errorf("--%s: %w", l, err)
			}
			continue
		}
		switch {
		case t.Kind != loading.Rule || t.Class.BuildSetting == nil:
			return fmt.Errorf("--%s: %s is a %s, not a build setting", l, l, t.KindString())
		case !t.Class.BuildSetting.Flag:
			return fmt.Errorf("--%s: the build setting was not declared with flag = True, so only transitions set it", l)
		}
		if _, err := a.settingValue(t, a.base, t.Attrs["build_setting_default"]); err != nil {
			return fmt.Errorf("--%s: %w", l, err)
		}
	}
	return nil
}
