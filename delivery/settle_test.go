package delivery

import (
	"slices"
	"testing"
)

func TestSettle(t *testing.T) {
	stream := func(n uint64) Claimed { return Claimed{StreamKey: StreamKey{Session: session(1)}, N: n, Claim: true} }
	granted := func(n uint64) Claimed { c := stream(n); c.Answer = AnswerGranted; return c }
	taken := func(n uint64) Claimed { c := stream(n); c.Answer = AnswerTaken; return c }
	gone := func(c Claimed) Claimed { c.Gone = true; return c }
	plain := func(n uint64) Claimed { c := stream(n); c.Claim = false; return c }
	other := func(c Claimed) Claimed { c.StreamKey.Session = session(2); return c }
	for _, c := range []struct {
		name string
		plan []Claimed
		want []Settlement
	}{
		{"what is granted is shown", []Claimed{granted(1), granted(2)}, []Settlement{ShowIt, ShowIt}},
		{"what needs no claim too", []Claimed{plain(1), granted(2)}, []Settlement{ShowIt, ShowIt}},
		{"what another device has keeps nothing back", []Claimed{taken(1), granted(2)}, []Settlement{DropIt, ShowIt}},
		{"what went with its connection comes again, before what is behind it", []Claimed{gone(granted(1)), granted(2), plain(3)},
			[]Settlement{LetGo, PutBack, PutBack}},
		{"so does what was not answered", []Claimed{stream(1), granted(2)}, []Settlement{PutBack, PutBack}},
		{"what is before it is shown", []Claimed{granted(1), stream(2)}, []Settlement{ShowIt, PutBack}},
		{"what is behind it and another device has is over", []Claimed{stream(1), taken(2)}, []Settlement{PutBack, DropIt}},
		{"another stream goes on", []Claimed{stream(1), other(granted(2))}, []Settlement{PutBack, ShowIt}},
		{"without number there is no order", []Claimed{stream(0), granted(0)}, []Settlement{PutBack, ShowIt}},
	} {
		if got := Settle(c.plan); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", c.name, got, c.want)
		}
	}
}

// What is put back was not shown, and does not say that it may have been.
func TestPutBack(t *testing.T) {
	r := InboxRow{State: InboxShowing, Shower: session(1)}
	if r.PutBack(); r.State != InboxWaiting || !r.Shower.IsZero() || r.Again {
		t.Errorf("put back: %+v", r)
	}
}
