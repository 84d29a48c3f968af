package delivery

import "slices"

// Answer is what the broker said to a claim.
type Answer uint8

// Answers.
const (
	AnswerNone    Answer = iota // nothing: its connection ended, or it took too long
	AnswerGranted               // this device shows it
	AnswerTaken                 // another device has it, or the broker has it no more
)

// Claimed is one message of a plan, once the claims of the plan were answered.
type Claimed struct {
	StreamKey
	N      uint64
	Claim  bool // it was a copy, to be claimed
	Answer Answer
	// Gone: the row that was planned is not there any more. It went with its
	// connection, or the message came again and has a row of its own for that.
	Gone bool
}

// Settlement is what to do with a message of a plan.
type Settlement uint8

// Settlements.
const (
	// ShowIt: write that it is no copy, remember its id, and when that is synced say
	// received, and show it. One that was no copy is only shown.
	ShowIt Settlement = iota + 1
	// PutBack: it is put back, and planned anew.
	PutBack
	// DropIt: the row goes.
	DropIt
	// LetGo: do nothing, it has no row.
	LetGo
)

// Settle decides what becomes of the messages of a plan [CM-8], in their order,
// in the transaction that writes it. What another device has is over; all else
// that falls out comes again, so that what is behind it in its stream goes back
// too: the broker knows who it was granted to, and says so again.
func Settle(plan []Claimed) []Settlement {
	settled := make([]Settlement, len(plan))
	var waits []StreamKey // of which something is to come again
	for i := range plan {
		c := &plan[i]
		switch {
		case c.Gone:
			settled[i] = LetGo
		case c.Claim && c.Answer == AnswerTaken:
			settled[i] = DropIt
			continue
		case c.Claim && c.Answer == AnswerNone, c.N > 0 && slices.Contains(waits, c.StreamKey):
			settled[i] = PutBack
		default:
			settled[i] = ShowIt
			continue
		}
		if c.N > 0 {
			waits = append(waits, c.StreamKey)
		}
	}
	return settled
}
