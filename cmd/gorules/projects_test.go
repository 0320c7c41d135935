package main_test

import "testing"

// TestProjects runs testdata/projects/*.txtar: what existing Cargo projects do
// that the example does not. None of them has a dependency from a registry.
func TestProjects(t *testing.T) { runRefusals(t, "projects", diskDir(t)) }
