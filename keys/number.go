package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Prefixes of the hashes that people compare, each followed by a zero byte.
const (
	safetyPrefix = "claudemesh/v1/safety\x00"
	admitPrefix  = "claudemesh/v1/admit\x00"
)

// SafetyNumber is what two users compare to know that nobody is in the middle: 60
// digits in 12 groups of five, 30 for each user's devices, the same on both sides
// and in whatever order the keys come. A user's half is SHA-256(
// "claudemesh/v1/safety" || 0x00 || mesh || the sorted device keys), of which each
// five bytes, big-endian, modulo 100000, give a group; the lower half stands
// first. [CM-2.18]
func SafetyNumber(mesh MeshID, a, b []Public) string {
	first, second := safetyHalf(mesh, a), safetyHalf(mesh, b)
	if second < first {
		first, second = second, first
	}
	return first + " " + second
}

// safetyHalf is one user's six groups.
func safetyHalf(mesh MeshID, devices []Public) string {
	sorted := slices.Clone(devices)
	slices.SortFunc(sorted, Public.Compare)
	sorted = slices.Compact(sorted)
	hash := sha256.New()
	hash.Write([]byte(safetyPrefix))
	hash.Write(mesh[:])
	for _, key := range sorted {
		hash.Write(key[:])
	}
	sum := hash.Sum(nil)
	groups := make([]string, 6)
	for i := range groups {
		var number [8]byte
		copy(number[3:], sum[5*i:5*i+5])
		groups[i] = fmt.Sprintf("%05d", binary.BigEndian.Uint64(number[:])%100000)
	}
	return strings.Join(groups, " ")
}

// AdmitNumber is what a person compares before letting a further device in: 16
// digits in 4 groups, the first 8 bytes of SHA-256("claudemesh/v1/admit" || 0x00 ||
// mesh || peer), big-endian, modulo 10^16. [CM-9.11]
func AdmitNumber(mesh MeshID, peer Public) string {
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte(admitPrefix), mesh[:], peer[:]}, nil))
	digits := fmt.Sprintf("%016d", binary.BigEndian.Uint64(sum[:8])%1e16)
	return digits[0:4] + " " + digits[4:8] + " " + digits[8:12] + " " + digits[12:16]
}
