package wire

// Code names what went wrong, in an error frame or the JSON body of an HTTP
// answer [CM-10.1]. Unknown codes are kept as they are.
type Code string

// Codes of errors. [Code.Info] says of each whether to retry, and the
// sentence for people.
const (
	CodeMalformed    Code = "malformed"
	CodeUnknownType  Code = "unknown_type"
	CodeTooLarge     Code = "too_large"
	CodeBadSignature Code = "bad_signature"
	CodeOrigin       Code = "origin"
	CodeClock        Code = "clock"
	CodeUnknownMesh  Code = "unknown_mesh"
	CodeNotMember    Code = "not_member"
	CodePending      Code = "pending"
	CodeRevoked      Code = "revoked"
	CodeForbidden    Code = "forbidden"
	CodeRefused      Code = "refused"
	CodeRestored     Code = "restored"
	CodeExists       Code = "exists"
	CodeToken        Code = "token"
	CodeRate         Code = "rate"
	CodeBusy         Code = "busy"
	CodeStorage      Code = "storage"
	CodeInternal     Code = "internal"
)

// By says who says a code; a set.
type By uint8

// Speakers.
const (
	ByBroker    By = 1 << iota // the broker
	ByRecipient                // a recipient's client
	ByPeer                     // any peer
)

// Retry says whether doing the same again can help.
type Retry uint8

const (
	RetryNever Retry = iota // the same again meets the same answer
	RetryLater              // after retry_after, or with growing pauses
	RetryNow                // at once, on a new connection or a new head
)

// CodeInfo is one line of the table of error codes.
type CodeInfo struct {
	Code     Code
	By       By
	Retry    Retry
	HTTP     int    // status of an HTTP answer that carries it
	Sentence string // for people
}

// codes is the table, in the order of docs/protocol.md.
var codes = []CodeInfo{
	{CodeMalformed, ByBroker | ByPeer, RetryNever, 400, "the other side could not read what was sent; perhaps one side needs an update"},
	{CodeUnknownType, ByBroker | ByPeer, RetryNever, 400, "the other side does not know this kind of request; perhaps it needs an update"},
	{CodeTooLarge, ByBroker | ByPeer, RetryNever, 413, "what was sent is larger than the other side takes"},
	{CodeBadSignature, ByBroker, RetryNever, 403, "a signature does not fit its key"},
	{CodeOrigin, ByBroker, RetryNever, 403, "the broker does not answer at the address that was dialled"},
	{CodeClock, ByBroker, RetryLater, 409, "the clock is more than 5 minutes ahead of or 10 minutes behind the broker's"},
	{CodeUnknownMesh, ByBroker, RetryNever, 404, "this broker does not serve that mesh"},
	{CodeNotMember, ByBroker, RetryNever, 403, "this key does not belong to the mesh"},
	{CodePending, ByBroker, RetryLater, 403, "this device waits to be admitted"},
	{CodeRevoked, ByBroker, RetryNever, 403, "this key was revoked"},
	{CodeForbidden, ByBroker, RetryNever, 403, "this key may not do that"},
	{CodeRefused, ByBroker, RetryNever, 409, "the entry would not count, so the broker did not order it"},
	{CodeRestored, ByBroker, RetryLater, 503, "the broker was restored from a backup and waits for its members before it goes on"},
	{CodeExists, ByBroker, RetryNever, 409, "that mesh exists already"},
	{CodeToken, ByBroker, RetryNever, 403, "creating a mesh on this broker needs a token that was not used yet"},
	{CodeRate, ByBroker, RetryLater, 429, "too many requests in a short time"},
	{CodeBusy, ByBroker, RetryLater, 503, "the broker is busy or going away"},
	{CodeStorage, ByBroker, RetryLater, 507, "the broker cannot store; perhaps its disk is full"},
	{CodeInternal, ByBroker | ByPeer, RetryLater, 500, "something went wrong on the other side"},
}

var codeTable = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(codes))
	for _, c := range codes {
		m[c.Code] = c
	}
	return m
}()

// Info gives the code's line of the table. An unknown code has a line that
// says so, with RetryNever.
func (c Code) Info() CodeInfo {
	if info, ok := codeTable[c]; ok {
		return info
	}
	return CodeInfo{Code: c, Retry: RetryNever, HTTP: 500, Sentence: "the other side refused for a reason that this version does not know; update claudemesh"}
}

// Codes is the whole table, for documents and tests.
func Codes() []CodeInfo { return append([]CodeInfo(nil), codes...) }
