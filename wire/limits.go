package wire

// Limits of the protocol [CM-10.4]. Sizes are bytes, times milliseconds. Checked
// before anything is allocated for what they bound.
const (
	MaxBody             = 1 << 20    // text of a message before sealing
	MaxPayload          = 1600 << 10 // sealed payload: MaxBody with its JSON escapes, metadata and padding
	MaxFrame            = 2 << 20    // one frame after welcome, header and payload
	MaxFrameBeforeHello = 8 << 10    // one frame before welcome
	MaxHeader           = 384 << 10  // JSON object of a frame with payload
	MaxValues           = 64 << 10   // JSON values in one frame, counted by their separators
	MaxRecipients       = 1024       // recipients of one send
	MaxIDs              = 1024       // message ids in one ack, receipt, grant or error
	MaxWaiting          = 10_000     // messages queued for one recipient
	MaxReceiptSize      = 4 << 10    // payload of class receipt
	MaxReceiptsWaiting  = 1000       // receipts queued for one pair of sender and recipient; the oldest go
	MaxBox              = 256        // a recipient's own box beside a sealed payload
	MaxEntry            = 4 << 10    // a signed entry's bytes
	MaxSignatures       = 2          // signers of one object
	MaxEntries          = 256        // entries in one frame; the rest comes by the next page
	MaxCard             = 4 << 10    // a card's signed bytes
	MaxExtras           = 8 << 10    // sealed extras beside a card
	MaxTags             = 16         // tags of a peer
	MaxLabel            = 32         // a slug
	MaxText             = 512        // any other short text: client, cwd, host, message of an error
	MaxPeersPage        = 64         // peers in one presence frame
	HelloWithin         = 5_000      // from connection to hello
	WindowMessages      = 256        // messages out to one connection without receipt
	WindowBytes         = 1 << 20    // their payload bytes; one message may always be out
	SlowConsumer        = 256 << 10  // bytes kept in memory for one connection; one message always
	WriteWithin         = 10_000     // a write that takes longer ends the connection
	InFlight            = 1024       // sends of one connection without ack; beyond it the broker stops reading
	Heartbeat           = 10_000     // of silence, after which the broker asks for a sign of life
	SilenceWithin       = 75_000     // longest silence that a peer takes, whatever the welcome says
	CommitWait          = 200        // longest wait of a commit for a receipt
	DefaultExpiry       = 7 * day    // a message without expiry of its own
	MaxExpiry           = 30 * day   // longest expiry, from the time of sending
	ClockAhead          = 600_000    // a message further ahead than this is held until its time comes
	RememberedByBroker  = 600_000    // how long a repeated (sender, id) is answered from memory
	RememberedAfter     = day        // how long an inbox remembers an id past its expiry
	GapWait             = 2_000      // wait for a missing number before it is marked
	ClaimWait           = 60_000     // a device that did not claim by then is passed over
	SessionWait         = 60_000     // a label without session by then: any session shows the message
	ReceiptsWithin      = 500        // seen receipts to one sender are gathered this long, but for the first
	PresenceWithin      = 1_000      // presence changes are gathered this long
	CardRenew           = 3_600_000  // a live session signs its card anew
	DrainWithin         = 10_000     // default spread of reconnects after drain
	MaxPage             = 1 << 20    // bytes of one page of entries or peers; what is more comes by the next
	MaxCreateBody       = 64 << 10   // body of POST PathMeshes
	day                 = 24 * 3_600_000
)

// Names on the HTTP side of a broker [CM-7.1].
const (
	Subprotocol = "claudemesh.v1" // WebSocket subprotocol; both ends refuse to go on without it
	PathSocket  = "/v1"           // WebSocket endpoint
	PathMeshes  = "/v1/meshes"    // POST creates a mesh
	PathHealth  = "/healthz"      // 200 while the process lives
	PathInvite  = "/i"            // page of an invite link; the secret is in the fragment
)

// Limits is what a broker tells in its welcome. Zero in a field means the
// constant of this package. A peer obeys the smaller of both.
type Limits struct {
	InFlight   int `json:"in_flight,omitempty"`  // sends without ack
	Body       int `json:"body,omitempty"`       // bytes of text before sealing
	Frame      int `json:"frame,omitempty"`      // bytes of a frame
	Recipients int `json:"recipients,omitempty"` // recipients of one send
	Waiting    int `json:"waiting,omitempty"`    // messages queued for one recipient
}

// DefaultLimits are the constants of this package as a Limits.
func DefaultLimits() Limits {
	return Limits{InFlight: InFlight, Body: MaxBody, Frame: MaxFrame, Recipients: MaxRecipients, Waiting: MaxWaiting}
}
