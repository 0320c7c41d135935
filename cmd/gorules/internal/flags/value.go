package flags

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bool stores into p; it takes Bazel's spellings of true and false.
func Bool(p *bool) Value { return (*boolValue)(p) }

type boolValue bool

func (b *boolValue) IsBoolFlag() bool { return true }
func (b *boolValue) String() string   { return strconv.FormatBool(bool(*b)) }

func (b *boolValue) Set(s string) error {
	switch strings.ToLower(s) {
	case "true", "1", "yes", "t", "y":
		*b = true
	case "false", "0", "no", "f", "n", "-": // "-" is the short form's: -k-
		*b = false
	default:
		return fmt.Errorf("expected true or false")
	}
	return nil
}

// String stores into p; the last value given wins.
func String(p *string) Value { return (*stringValue)(p) }

type stringValue string

func (v *stringValue) String() string     { return string(*v) }
func (v *stringValue) Set(s string) error { *v = stringValue(s); return nil }

// Enum stores one of the allowed values into p.
func Enum(p *string, allowed ...string) Value { return &enumValue{p, allowed} }

type enumValue struct {
	p       *string
	allowed []string
}

func (v *enumValue) String() string {
	if v.p == nil {
		return ""
	}
	return *v.p
}

func (v *enumValue) Set(s string) error {
	if !slices.Contains(v.allowed, s) {
		err := fmt.Errorf("expected one of %s", strings.Join(v.allowed, ", "))
		if near := Nearest(s, v.allowed); near != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, near)
		}
		return err
	}
	*v.p = s
	return nil
}

// Int stores a number of at least low into p.
func Int[T int | int64](p *T, low T) Value { return &intValue[T]{p, low} }

type intValue[T int | int64] struct {
	p   *T
	low T
}

func (v *intValue[T]) String() string {
	if v.p == nil {
		return ""
	}
	return strconv.FormatInt(int64(*v.p), 10)
}

func (v *intValue[T]) Set(s string) error {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < int64(v.low) || int64(T(n)) != n {
		return fmt.Errorf("expected a number of at least %d", v.low)
	}
	*v.p = T(n)
	return nil
}

// Jobs stores a count of workers into p: a number, "auto", "HOST_CPUS" or
// "HOST_CPUS*.5", as Bazel's --jobs; 0 stands for auto.
func Jobs(p *int) Value { return (*jobsValue)(p) }

type jobsValue int

func (v *jobsValue) String() string {
	if *v == 0 {
		return "auto"
	}
	return strconv.Itoa(int(*v))
}

func (v *jobsValue) Set(s string) error {
	if s == "auto" {
		*v = 0
		return nil
	}
	if rest, ok := strings.CutPrefix(s, "HOST_CPUS"); ok {
		factor := 1.0
		if number, ok := strings.CutPrefix(rest, "*"); ok {
			var err error
			if factor, err = strconv.ParseFloat(number, 64); err != nil || !(factor > 0 && factor <= 1000) {
				return fmt.Errorf("expected HOST_CPUS*FACTOR with a factor above 0")
			}
		} else if rest != "" {
			return fmt.Errorf("expected a number, auto or HOST_CPUS*FACTOR")
		}
		*v = jobsValue(max(1, int(factor*float64(runtime.NumCPU()))))
		return nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100_000 {
		return fmt.Errorf("expected a number from 1 on, auto or HOST_CPUS*FACTOR")
	}
	*v = jobsValue(n)
	return nil
}

// Seconds stores a duration into p: a number of seconds, or Go's notation (5m).
func Seconds(p *time.Duration) Value { return (*secondsValue)(p) }

type secondsValue time.Duration

func (v *secondsValue) String() string {
	if *v == 0 {
		return ""
	}
	return time.Duration(*v).String()
}

func (v *secondsValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < 0 {
		return fmt.Errorf("expected seconds, or a time such as 5m")
	}
	*v = secondsValue(d)
	return nil
}

// Size stores a number of bytes into p: a number with K, M, G or T (powers of 1024,
// as in Bazel), and with or without a B after it. none, where it is allowed, stands for -1.
func Size(p *int64, none bool) Value { return &sizeValue{p, none} }

type sizeValue struct {
	p    *int64
	none bool
}

const units = "KMGT"

func (v *sizeValue) String() string {
	if v.p == nil || *v.p <= 0 {
		return ""
	}
	n, unit := *v.p, 0
	for ; unit < len(units) && n%1024 == 0; unit++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + units[max(unit-1, 0):unit]
}

func (v *sizeValue) Set(s string) error {
	if v.none && s == "none" {
		*v.p = -1
		return nil
	}
	text := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I")
	shift := 0
	if i := strings.IndexByte(units, append([]byte(text), 0)[max(0, len(text)-1)]); i >= 0 {
		text, shift = text[:len(text)-1], 10*(i+1)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0 && n*float64(int64(1)<<shift) < 1<<62) {
		if v.none {
			return fmt.Errorf("expected a size such as 500M or 20G, or none")
		}
		return fmt.Errorf("expected a size such as 500M or 20G")
	}
	*v.p = max(1, int64(n*float64(int64(1)<<shift)))
	return nil
}

// List appends each value given to p.
func List(p *[]string) Value { return &listValue{p: p} }

// CommaList appends the comma-separated parts of each value to p.
func CommaList(p *[]string) Value { return &listValue{p: p, split: true} }

// LastCommaList stores the comma-separated parts of the last value into p.
func LastCommaList(p *[]string) Value { return &listValue{p: p, split: true, last: true} }

type listValue struct {
	p           *[]string
	split, last bool
}

func (v *listValue) String() string {
	if v.p == nil {
		return ""
	}
	return strings.Join(*v.p, ",")
}

func (v *listValue) Set(s string) error {
	if v.last {
		*v.p = nil
	}
	if !v.split {
		*v.p = append(*v.p, s)
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*v.p = append(*v.p, part)
		}
	}
	return nil
}

// Func calls f with each value given.
func Func(f func(string) error) Value { return funcValue(f) }

type funcValue func(string) error

func (f funcValue) String() string     { return "" }
func (f funcValue) Set(s string) error { return f(s) }
