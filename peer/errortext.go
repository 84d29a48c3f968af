package peer

import (
	"fmt"
	"strings"
	"time"
)

// Error is the sentence.
func (e *UsageError) Error() string { return e.Sentence }

// Class is ClassUsage.
func (e *UsageError) Class() Class { return ClassUsage }

// Error is the sentence with the suggestion and the candidates.
func (e *UnknownNameError) Error() string {
	s := fmt.Sprintf("no %q in %s.", e.Name, e.Mesh)
	if e.Tag {
		s = fmt.Sprintf("nobody else in %s carries the tag %s.", e.Mesh, e.Name)
	}
	if e.Suggestion != "" {
		s += " Did you mean " + e.Suggestion + "?"
	}
	switch {
	case len(e.Candidates) > 0:
		s += " Here: " + strings.Join(e.Candidates, ", ")
	case e.Session:
		s += " No session is there now that has a label; who is: claudemesh peers"
	}
	return s
}

// Class is ClassRefused.
func (e *UnknownNameError) Class() Class { return ClassRefused }

// Error is the sentence with the candidates.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q can mean: %s", e.Name, strings.Join(e.Candidates, ", "))
}

// Class is ClassRefused.
func (e *AmbiguousError) Class() Class { return ClassRefused }

// Error is the sentence.
func (e *NotReachableError) Error() string {
	if e.Kept && e.Busy {
		return fmt.Sprintf("not sent yet: %s takes no more messages from here at the moment (%s). Kept; goes out by itself.", e.Host, e.Reason)
	}
	if e.Kept {
		return fmt.Sprintf("not sent yet: %s does not answer (%s). Kept; goes out when it is back.", e.Host, e.Reason)
	}
	return fmt.Sprintf("%s does not answer (%s)", e.Host, e.Reason)
}

// Class is ClassUnreachable.
func (e *NotReachableError) Class() Class { return ClassUnreachable }

// Unwrap returns what dialling said.
func (e *NotReachableError) Unwrap() error { return e.Err }

// Error is the sentence.
func (e *RevokedError) Error() string {
	if e.Lapsed {
		return fmt.Sprintf("%s waited seven days for a yes in %s, and nobody gave it. Ask for a new invite.", e.Address, e.Mesh)
	}
	s := fmt.Sprintf("%s was revoked from %s", e.Address, e.Mesh)
	if e.Left {
		s = fmt.Sprintf("%s left %s", e.Address, e.Mesh)
	} else if e.By != "" {
		s += " by " + e.By
	}
	if !e.Time.IsZero() {
		s += " at " + clock(e.Time)
	}
	s += "."
	if e.Self {
		s += " To come back you need a new invite."
	}
	return s
}

// clock is a time for people: the hour today, else the day too.
func clock(t time.Time) string {
	t = t.Local()
	if time.Since(t) < 12*time.Hour {
		return t.Format("15:04")
	}
	return t.Format("Mon 2 Jan 15:04")
}

// Class is ClassRefused.
func (e *RevokedError) Class() Class { return ClassRefused }

// Error is the sentence.
func (e *WaitingError) Error() string {
	user, _, _ := strings.Cut(e.Address, "@")
	return fmt.Sprintf("%s still waits for a yes on one of %s's devices: claudemesh admit %s (compare: %s)", e.Address, user, e.Address, e.Number)
}

// Class is ClassRefused.
func (e *WaitingError) Class() Class { return ClassRefused }

// Error is the sentence.
func (e *ForbiddenError) Error() string { return "you may not " + e.Action + ": " + e.Why }

// Unwrap returns the rule.
func (e *ForbiddenError) Unwrap() error { return e.Err }

// Class is ClassRefused.
func (e *ForbiddenError) Class() Class { return ClassRefused }

// Error is the broker's sentence.
func (e *RefusedError) Error() string { return "the broker refused: " + e.Message }

// Class is ClassRefused.
func (e *RefusedError) Class() Class { return ClassRefused }

// Error is the sentence.
func (e *LinkError) Error() string { return "this invite link does not work: " + e.Why }

// Class is ClassRefused.
func (e *LinkError) Class() Class { return ClassRefused }

// Error is the sentence.
func (e *NameTakenError) Error() string {
	return fmt.Sprintf("the %s name %s is taken; choose another", e.What, e.Name)
}

// Class is ClassRefused.
func (e *NameTakenError) Class() Class { return ClassRefused }

// Error is the sentence.
func (e *TamperError) Error() string { return e.Sentence }

// Class is ClassRefused.
func (e *TamperError) Class() Class { return ClassRefused }

// Unwrap returns what the check said.
func (e *TamperError) Unwrap() error { return e.Err }

// Error is the sentence.
func (e *UpdateError) Error() string {
	return fmt.Sprintf("%s uses something newer than this version: update claudemesh", e.Mesh)
}

// Class is ClassFailed.
func (e *UpdateError) Class() Class { return ClassFailed }

// Unwrap returns what the reader said.
func (e *UpdateError) Unwrap() error { return e.Err }

// Error is the sentence.
func (e *TimeoutError) Error() string {
	return fmt.Sprintf("no %s within %s", e.For, e.After)
}

// Class is ClassTimeout.
func (e *TimeoutError) Class() Class { return ClassTimeout }
