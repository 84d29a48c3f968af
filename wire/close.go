package wire

// CloseCode is the WebSocket status code of a closed connection [CM-10.3]. The
// number tells a client what to do: 4000 to 4099 come back, with growing
// pauses; 4100 to 4199 do not come back, something has to change first. Of
// the standard's own codes all mean come back.
type CloseCode int

// Close codes.
const (
	CloseNormal    CloseCode = 1000
	CloseGoingAway CloseCode = 1001

	CloseDrain    CloseCode = 4000
	CloseSlow     CloseCode = 4001
	CloseSilent   CloseCode = 4002
	CloseStorage  CloseCode = 4003
	CloseRate     CloseCode = 4004
	CloseNoHello  CloseCode = 4005
	CloseInternal CloseCode = 4006
	CloseJoined   CloseCode = 4007

	CloseMalformed   CloseCode = 4100
	CloseTooLarge    CloseCode = 4101
	CloseHello       CloseCode = 4102
	CloseOrigin      CloseCode = 4103
	CloseUnknownMesh CloseCode = 4104
	CloseNotMember   CloseCode = 4105
	CloseRevoked     CloseCode = 4106
	CloseReplaced    CloseCode = 4107
	CloseBroker      CloseCode = 4108
)

// CloseInfo is one line of the table of close codes.
type CloseInfo struct {
	Close    CloseCode
	By       By
	Retry    Retry
	Reason   string // the close frame's reason; at most 123 bytes by RFC 6455
	Sentence string // for people
}

// closes is the table, in the order of docs/protocol.md.
var closes = []CloseInfo{
	{CloseNormal, ByBroker | ByPeer, RetryNow, "bye", "the connection ended"},
	{CloseGoingAway, ByBroker | ByPeer, RetryNow, "going away", "the other side went away"},
	{CloseDrain, ByBroker, RetryLater, "drain", "the broker is restarting"},
	{CloseSlow, ByBroker | ByPeer, RetryLater, "slow consumer", "what was sent was not read for 10 seconds"},
	{CloseSilent, ByBroker | ByPeer, RetryNow, "silent", "nothing was heard for two and a half heartbeats"},
	{CloseStorage, ByBroker, RetryLater, "storage", "the broker could not store; perhaps its disk is full"},
	{CloseRate, ByBroker, RetryLater, "rate", "too many requests in a short time"},
	{CloseNoHello, ByBroker, RetryLater, "no hello", "no hello came within 5 seconds"},
	{CloseInternal, ByBroker | ByPeer, RetryLater, "internal", "something went wrong on the other side"},
	{CloseJoined, ByBroker, RetryNow, "joined", "the invite key's work is done; hello comes next with the peer's own key"},
	{CloseMalformed, ByBroker | ByPeer, RetryNever, "malformed", "the other side could not read what was sent; perhaps one side needs an update"},
	{CloseTooLarge, ByBroker | ByPeer, RetryNever, "too large", "what was sent is larger than the other side takes"},
	{CloseHello, ByBroker, RetryNever, "hello refused", "the broker did not accept the hello"},
	{CloseOrigin, ByBroker, RetryNever, "origin", "the broker does not answer at the address that was dialled"},
	{CloseUnknownMesh, ByBroker, RetryNever, "unknown mesh", "this broker does not serve that mesh"},
	{CloseNotMember, ByBroker, RetryNever, "not a member", "this key does not belong to the mesh"},
	{CloseRevoked, ByBroker, RetryNever, "revoked", "this key was revoked"},
	{CloseReplaced, ByBroker, RetryNever, "replaced", "the same session connected again elsewhere"},
	{CloseBroker, ByPeer, RetryNever, "wrong broker", "the broker's key is not the one this mesh names"},
}

var closeTable = func() map[CloseCode]CloseInfo {
	m := make(map[CloseCode]CloseInfo, len(closes))
	for _, c := range closes {
		m[c.Close] = c
	}
	return m
}()

// Info gives the code's line of the table. An unknown code has a line whose
// Retry follows from its number.
func (c CloseCode) Info() CloseInfo {
	if info, ok := closeTable[c]; ok {
		return info
	}
	info := CloseInfo{Close: c, Retry: RetryLater, Sentence: "the connection ended"}
	if c >= 4100 && c < 4200 {
		info.Retry = RetryNever
		info.Sentence = "the other side ended the connection for a reason that this version does not know; update claudemesh"
	}
	return info
}

// Closes is the whole table, for documents and tests.
func Closes() []CloseInfo { return append([]CloseInfo(nil), closes...) }
