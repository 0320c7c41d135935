package run

import "gorules/executor/internal/digest"

// EncodeFrame is an entry of DiskCache as it stands on disk.
func EncodeFrame(key digest.Digest, tier string, message []byte) []byte {
	return frame{key, tier, message}.encode()
}
