package wire_test

import (
	"encoding"
	"strings"
	"testing"
	"unicode"

	"github.com/claudemesh/claudemesh-go/wire"
)

// checkSentence: a sentence for people says something and fits into one line.
func checkSentence(t *testing.T, code, s string) {
	t.Helper()
	if s == "" || strings.HasSuffix(s, ".") || strings.ContainsAny(s, "\n\t") || unicode.IsUpper(rune(s[0])) || len(s) > 120 {
		t.Errorf("%s: sentence %q", code, s)
	}
}

func TestWhys(t *testing.T) {
	seen := map[wire.Why]bool{}
	for _, w := range wire.Whys() {
		checkSentence(t, string(w.Why), w.Sentence)
		if seen[w.Why] || w.By == 0 || w.Why.Info() != w {
			t.Errorf("%s stands twice, by nobody, or is not found", w.Why)
		}
		seen[w.Why] = true
	}
	unknown := wire.Why("brand_new").Info()
	checkSentence(t, "unknown", unknown.Sentence)
	checkSentence(t, "none", wire.WhyNone.Info().Sentence)
	if unknown.Why != "brand_new" || unknown.Retry != wire.RetryNever {
		t.Errorf("an unknown reason is %+v", unknown)
	}
}

func TestCodes(t *testing.T) {
	seen := map[wire.Code]bool{}
	for _, c := range wire.Codes() {
		checkSentence(t, string(c.Code), c.Sentence)
		if seen[c.Code] || c.By == 0 || c.HTTP < 400 || c.HTTP > 599 || c.Code.Info() != c {
			t.Errorf("%s stands twice, by nobody, without status, or is not found", c.Code)
		}
		seen[c.Code] = true
	}
	unknown := wire.Code("brand_new").Info()
	checkSentence(t, "unknown", unknown.Sentence)
	if unknown.Code != "brand_new" || unknown.Retry != wire.RetryNever || unknown.HTTP != 500 {
		t.Errorf("an unknown code is %+v", unknown)
	}
}

func TestCloses(t *testing.T) {
	seen := map[wire.CloseCode]bool{}
	for _, c := range wire.Closes() {
		checkSentence(t, c.Reason, c.Sentence)
		if seen[c.Close] || c.By == 0 || c.Close.Info() != c {
			t.Errorf("%d stands twice, by nobody, or is not found", c.Close)
		}
		seen[c.Close] = true
		if c.Reason == "" || len(c.Reason) > 123 {
			t.Errorf("%d: reason %q; a close frame has room for 123 bytes", c.Close, c.Reason)
		}
		if never := c.Close >= 4100 && c.Close < 4200; never != (c.Retry == wire.RetryNever) {
			t.Errorf("%d: its number and its retry say different things", c.Close)
		}
	}
	for _, c := range []wire.CloseCode{1006, 4099, 4199} {
		info := c.Info()
		checkSentence(t, "unknown", info.Sentence)
		if (info.Retry == wire.RetryNever) != (c == 4199) {
			t.Errorf("unknown %d: %+v", c, info)
		}
	}
}

// TestWords: every word reads back to its value, and nothing else does.
func TestWords(t *testing.T) {
	type word interface {
		encoding.TextMarshaler
		String() string
	}
	check := func(values []word, parse func(string) (word, error)) {
		t.Helper()
		for _, v := range values {
			text, err := v.MarshalText()
			if err != nil || string(text) != v.String() {
				t.Errorf("%v: %q, %v", v, text, err)
			}
			got, err := parse(string(text))
			if err != nil || got != v {
				t.Errorf("%q reads as %v, %v", text, got, err)
			}
			if _, err := parse(strings.ToUpper(string(text))); err == nil {
				t.Errorf("%q is read in upper case", text)
			}
		}
		if _, err := parse(""); err == nil {
			t.Error("no word is read as one")
		}
	}
	check([]word{wire.ClassMessage, wire.ClassReceipt}, func(s string) (word, error) {
		var v wire.Class
		err := v.UnmarshalText([]byte(s))
		return v, err
	})
	check([]word{wire.PriorityNow, wire.PriorityNext, wire.PriorityLow}, func(s string) (word, error) {
		var v wire.Priority
		err := v.UnmarshalText([]byte(s))
		return v, err
	})
	check([]word{wire.StateUnknown, wire.StatePending, wire.StateQueued, wire.StateDelivered, wire.StateHeld,
		wire.StateSeen, wire.StateRefused, wire.StateExpired}, func(s string) (word, error) {
		var v wire.State
		err := v.UnmarshalText([]byte(s))
		return v, err
	})
	check([]word{wire.VerdictReceived, wire.VerdictClaim, wire.VerdictRefused}, func(s string) (word, error) {
		var v wire.Verdict
		err := v.UnmarshalText([]byte(s))
		return v, err
	})
	check([]word{wire.ReceivesNone, wire.ReceivesReplies, wire.ReceivesDrain, wire.ReceivesLive}, func(s string) (word, error) {
		var v wire.Receives
		err := v.UnmarshalText([]byte(s))
		return v, err
	})
	if _, err := wire.Priority(9).MarshalText(); err == nil || wire.Priority(9).String() != "priority(9)" {
		t.Errorf("a value without word is written as %s, %v", wire.Priority(9), err)
	}
}
