package sandbox_test

import (
	"context"
	"testing"

	"gorules/executor/internal/sandbox"
)

func TestProbe(t *testing.T) {
	tier, err := sandbox.Probe(context.Background())
	if err != nil || tier != sandbox.TierFull {
		t.Fatalf("Probe() = %v, %v", tier, err)
	}
}
