// Package gather is a net.Conn whose writes made during a write share the
// next system call.
//
// A relay of small messages spends most of its time in write(2). [Conn.Write]
// copies into memory and returns; one goroutine hands what has come to the
// connection beneath, and all that comes while it does so goes with the next
// call. There is no timer: a write on an idle connection starts at once, and
// the busier the connection, the more its writes share.
//
// # Where it belongs
//
// Beneath the WebSocket library, which holds a lock during its write and so
// never has two under way: with Write returning at once they follow each
// other. And above TLS wherever that can be arranged: then the plaintext is
// gathered, and many messages share a TLS record as well as a system call.
// Beneath TLS it works too, at the price of a record for each message.
//
// A server without TLS wraps its listener; one with TLS wraps what
// tls.NewListener returns, not the listener beneath it:
//
//	l = gather.NewListener(tls.NewListener(l, config), gather.Options{})
//	go server.Serve(l) // not ServeTLS; config.NextProtos = {"http/1.1"}
//
// A client sets http.Transport.DialContext to a dial function from
// [Dial], and DialTLSContext to one that made the TLS handshake itself:
//
//	transport.DialContext = gather.Dial(dialer.DialContext, gather.Options{})
//	transport.DialTLSContext = gather.Dial((&tls.Dialer{Config: config}).DialContext, gather.Options{})
//
// With tls.Config.DynamicRecordSizingDisabled records are large from the start.
package gather
