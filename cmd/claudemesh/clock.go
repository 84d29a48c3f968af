package main

import (
	"fmt"
	"time"
)

// How times are shown. They are stored in Unix milliseconds and shown in the
// time zone of whoever reads them.

// clockTime is a time of today as 14:02, of the last six days as Mon 14:02, and
// any other one as Mon 2 Jan 14:02.
func clockTime(ms int64, now time.Time) string {
	at := time.UnixMilli(ms).In(now.Location())
	switch {
	case sameDay(at, now):
		return at.Format("15:04")
	case at.Before(now) && now.Sub(at) < 6*24*time.Hour:
		return at.Format("Mon 15:04")
	}
	return at.Format("Mon 2 Jan 15:04")
}

// clockSecond is clockTime to the second.
func clockSecond(ms int64, now time.Time) string {
	at := time.UnixMilli(ms).In(now.Location())
	if sameDay(at, now) {
		return at.Format("15:04:05")
	}
	return at.Format("Mon 2 Jan 15:04:05")
}

// until is a time in the future, always with its day: an expiry is seldom today.
func until(ms int64, now time.Time) string {
	return time.UnixMilli(ms).In(now.Location()).Format("Mon 2 Jan 15:04")
}

// since is a span in its largest unit: 40 s, 3 m, 3 h, 2 days.
func since(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d m", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return plural(int(d.Hours()/24), "day")
}

// awayText says since when somebody is away: by the clock within twelve hours,
// by the span beyond.
func awayText(ms int64, now time.Time) string {
	at := time.UnixMilli(ms).In(now.Location())
	switch {
	case ms == 0:
		return "away"
	case sameDay(at, now):
		return "away since " + at.Format("15:04")
	}
	return "away " + since(now.Sub(at))
}

func sameDay(a, b time.Time) bool {
	ay, am, ad := a.Date()
	by, bm, bd := b.Date()
	return ay == by && am == bm && ad == bd
}

// span parses a duration as people write it: those of Go, and days as in 7d.
func span(text string) (time.Duration, error) {
	var days int
	var rest string
	if n, _ := fmt.Sscanf(text, "%d%s", &days, &rest); n == 2 && rest == "d" && days > 0 && days <= 3650 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no span of time: write 90s, 30m, 12h or 7d", text)
	}
	return d, nil
}
