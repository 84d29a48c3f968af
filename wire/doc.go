// Package wire is what crosses the socket: frames, addresses, receipts, error
// and close codes, limits, codec.
//
// One frame is one WebSocket message of subprotocol [Subprotocol] [CM-7.2]. A
// frame is a JSON object whose field "type" names it. Without payload it is a
// text message; with one it is a binary message:
//
//	length of the object (4 bytes, big-endian) || object || payload
//
// A conversation:
//
//	broker                              peer
//	   challenge ─────────────────────▶      key and nonce of the broker
//	   ◀───────────────────────── hello      signed over both
//	   welcome ───────────────────────▶      signed over hello and head
//	   ◀───────────── sync, append, presence, subscribe, trace, ping
//	   entries, presence, trace, pong ▶
//	   ◀────────────────────────── send      payload: a box, or a sealed message
//	   ack ───────────────────────────▶      delivered, queued, refused, expired
//	   deliver ───────────────────────▶      payload: as it was sent
//	   ◀─────────────────────── receipt      received, claim, refused
//	   grant, drain, error ───────────▶
//
// Encode and decode frames with [AppendFrame] and [Decoder]. The four hot frames
// ([Send], [Ack], [Deliver], [Receipt]) are written and scanned by hand in
// their flat form and allocate nothing; whatever is unusual takes the general
// parser, and a fuzz target holds the two to the same answers. Unknown fields
// are ignored in every frame, duplicate ones refused; what is signed inside
// is decoded strictly, by package signed.
//
// The package does no I/O and no cryptography: a frame that decodes proves
// nothing but its form.
package wire
