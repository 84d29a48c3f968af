package delivery

import "testing"

// A day beyond the inner expiry an id is forgotten, and no sooner: until then the clock
// of whoever sends it again may be that far behind. The count of its stream stays as long.
func TestRememberedADayBeyondExpiry(t *testing.T) {
	const day = 24 * 3_600_000
	if got := RememberUntil(1000); got != 1000+day {
		t.Errorf("what expires at 1000 is remembered until %d, want %d", got, 1000+day)
	}
	var s Stream
	s.Show(5, 1000)
	s.Show(4, 500)
	if want := (Stream{Shown: 5, Until: 1000 + day}); s != want {
		t.Errorf("a stream after two were shown: %+v, want %+v", s, want)
	}
}
