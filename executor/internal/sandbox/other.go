//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"runtime"
)

// Main does nothing: this system has no helpers.
func Main() {}

// Pool refuses every action: the full tier exists on Linux only.
type Pool struct{}

// NewPool makes a pool that refuses every action.
func NewPool(int, Options) *Pool { return &Pool{} }

// Run returns a *StepError.
func (*Pool) Run(context.Context, *Process) (Result, error) { return Result{}, refusal() }

// Kill does nothing.
func (*Pool) Kill() {}

// Close does nothing.
func (*Pool) Close() error { return nil }

// Probe reports TierNone and why.
func Probe(context.Context) (Tier, error) { return TierNone, refusal() }

func refusal() error {
	return &StepError{Step: "create namespaces", Reason: "the sandbox needs Linux on amd64 or arm64, this is " + runtime.GOOS + " on " + runtime.GOARCH}
}
