package wire

// Why says why a message was refused or went, in an ack, a receipt or a trace
// [CM-10.2]. An unknown code is kept as it is: a newer broker or peer may say
// more.
type Why string

// Reasons. [Why.Info] says of each who says it, whether sending again can
// help, and the sentence for people.
const (
	WhyNone        Why = ""            // no reason needed
	WhyNotMember   Why = "not_member"  // sender or recipient is not in the mesh
	WhyRevoked     Why = "revoked"     // sender or recipient was revoked
	WhyPending     Why = "pending"     // sender or recipient waits to be admitted
	WhyMalformed   Why = "malformed"   // it can never be opened
	WhyFork        Why = "fork"        // sent on another course of the chain
	WhyUnconfirmed Why = "unconfirmed" // sent on entries that nobody can show
	WhyMuted       Why = "muted"       // the recipient muted the sender
	WhyPolicy      Why = "policy"      // the recipient's policy for this sender
	WhyInboxFull   Why = "inbox_full"  // the recipient's disk or inbox is full
	WhyQueueFull   Why = "queue_full"  // too many messages wait for the recipient
	WhyTooLarge    Why = "too_large"   // over a limit of the broker
	WhyExpired     Why = "expired"     // it came after its expiry
	WhyExpiry      Why = "expiry"      // its expiry is past or too far away
	WhyTaken       Why = "taken"       // another device of the user shows it
	WhyStorage     Why = "storage"     // the broker cannot store
)

// WhyInfo is one line of the table of reasons.
type WhyInfo struct {
	Why      Why
	By       By     // who says it
	Retry    Retry  // whether sending again can help
	Sentence string // for people, about the message
}

// whys is the table, in the order of docs/protocol.md.
var whys = []WhyInfo{
	{WhyNotMember, ByBroker | ByRecipient, RetryNever, "the recipient or the sender does not belong to this mesh"},
	{WhyRevoked, ByBroker | ByRecipient, RetryNever, "the recipient or the sender was revoked"},
	{WhyPending, ByBroker | ByRecipient, RetryLater, "the recipient or the sender waits to be admitted"},
	{WhyMalformed, ByRecipient, RetryNever, "the recipient's client could not open it; perhaps one side needs an update"},
	{WhyFork, ByRecipient, RetryNever, "the two sides hold different histories of this mesh; an owner has to heal it"},
	{WhyUnconfirmed, ByRecipient, RetryLater, "the sender's view of this mesh could not be confirmed"},
	{WhyMuted, ByRecipient, RetryNever, "the recipient has muted the sender"},
	{WhyPolicy, ByRecipient, RetryNever, "the recipient does not take messages from the sender"},
	{WhyInboxFull, ByRecipient, RetryLater, "the recipient's inbox is full"},
	{WhyQueueFull, ByBroker, RetryLater, "too many messages wait for the recipient"},
	{WhyTooLarge, ByBroker, RetryNever, "it is larger than the broker takes"},
	{WhyExpired, ByRecipient, RetryNever, "it reached the recipient after its time"},
	{WhyExpiry, ByBroker, RetryNever, "its expiry lies in the past or more than 30 days ahead"},
	{WhyTaken, ByBroker, RetryNever, "another device of the same user took it"},
	{WhyStorage, ByBroker, RetryLater, "the broker cannot store it now"},
}

var whyTable = func() map[Why]WhyInfo {
	m := make(map[Why]WhyInfo, len(whys))
	for _, w := range whys {
		m[w.Why] = w
	}
	return m
}()

// Info gives the code's line of the table. An unknown code has a line that
// says so, with RetryNever.
func (w Why) Info() WhyInfo {
	if info, ok := whyTable[w]; ok {
		return info
	}
	if w == WhyNone {
		return WhyInfo{Sentence: "no reason was given"}
	}
	return WhyInfo{Why: w, Retry: RetryNever, Sentence: "for a reason that this version does not know; update claudemesh"}
}

// Whys is the whole table, for documents and tests.
func Whys() []WhyInfo { return append([]WhyInfo(nil), whys...) }
