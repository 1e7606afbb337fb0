package configs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Duration is a time span written as text: 30s, 4h.
type Duration time.Duration

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// UnmarshalText reads a span as [time.ParseDuration] does.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if _, bare := strconv.ParseFloat(string(text), 64); err != nil && bare == nil {
		return fmt.Errorf("%s: a unit is missing: write %[1]ss, %[1]sm or %[1]sh", text)
	}
	if err != nil {
		return fmt.Errorf("%q is no time span; write 30s, 5m or 4h", text)
	}
	*d = Duration(v)
	return nil
}

// Size is a number of bytes written as text: 128KiB, 64MiB, 2GiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// UnmarshalText reads a size with its binary unit, which only 0 can do without.
func (s *Size) UnmarshalText(text []byte) error {
	if n, err := strconv.ParseFloat(string(text), 64); err == nil && n > 0 {
		return fmt.Errorf("%s: a unit is missing: write %[1]sMiB or %[1]sGiB", text)
	}
	if string(text) == "0" {
		*s = 0
		return nil
	}
	for _, unit := range sizeUnits {
		digits, found := strings.CutSuffix(string(text), unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/unit.bytes {
			break
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size; write 128KiB, 64MiB or 2GiB", text)
}

// Host is an address, or a network of them: 10.1.2.3, 10.1.2.0/24.
type Host struct{ netip.Prefix }

// UnmarshalText reads an address as the network of itself.
func (h *Host) UnmarshalText(text []byte) error {
	if address, err := netip.ParseAddr(string(text)); err == nil {
		h.Prefix = netip.PrefixFrom(address, address.BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no address or network; write 10.1.2.3 or 10.1.2.0/24", text)
	}
	h.Prefix = prefix.Masked()
	return nil
}
