package bench

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// userHz is the unit of /proc/stat on Linux, fixed for user space.
const userHz = 100

// busyTime is the time that all CPUs of the machine together have spent on
// anything since it started; negative where the system does not tell.
func busyTime() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return -1
	}
	return parseStat(string(text))
}

// parseStat adds up the first line of /proc/stat: all but idle and iowait.
// Guest time is already part of user time, so the columns from there on are
// not added; stolen time counts, for it was lost to others.
func parseStat(text string) time.Duration {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return -1
	}
	var ticks int64
	for i, f := range fields[1:9] {
		const idle, iowait = 3, 4
		if i == idle || i == iowait {
			continue
		}
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return -1
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / userHz
}

// foreign is how many CPUs were busy on average with what was not ours. The
// ticks of /proc/stat are 10 ms long, so runs below 0.1 s say nothing: -1.
func foreign(before, after, ours, wall time.Duration) float64 {
	if before < 0 || after < 0 || wall < 100*time.Millisecond {
		return -1
	}
	return max(0, float64(after-before-ours)/float64(wall))
}
