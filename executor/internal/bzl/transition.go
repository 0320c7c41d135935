package bzl

import (
	"fmt"

	"go.starlark.net/starlark"

	"gorules/executor/label"
)

// A Transition is the value of transition() and analysis_test_transition(): a
// change of the configuration that dependencies, or a target, are seen in.
type Transition struct {
	Name    string
	Impl    starlark.Callable // nil for analysis_test_transition
	Inputs  []string
	Outputs []string

	// Settings are those of analysis_test_transition.
	Settings *starlark.Dict
}

func (t *Transition) String() string        { return "<transition object>" }
func (t *Transition) Type() string          { return "transition" }
func (t *Transition) Freeze()               {}
func (t *Transition) Truth() starlark.Bool  { return true }
func (t *Transition) Hash() (uint32, error) { return pointerHash(t), nil }

func (t *Transition) export(name string, _ label.Label) error {
	if t.Name == "" {
		t.Name = name
	}
	return nil
}

func transitionFn(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	t := &Transition{}
	var inputs, outputs starlark.Value
	err := starlark.UnpackArgs("transition", args, kwargs, "implementation", &t.Impl, "inputs", &inputs, "outputs", &outputs)
	if err != nil {
		return nil, err
	}
	if t.Inputs, err = stringsOf("inputs", inputs); err != nil {
		return nil, fmt.Errorf("transition: %w", err)
	}
	if t.Outputs, err = stringsOf("outputs", outputs); err != nil {
		return nil, fmt.Errorf("transition: %w", err)
	}
	return t, nil
}

func analysisTestTransition(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	t := &Transition{}
	if err := starlark.UnpackArgs("analysis_test_transition", args, kwargs, "settings", &t.Settings); err != nil {
		return nil, err
	}
	return t, Freeze(t.Settings)
}
