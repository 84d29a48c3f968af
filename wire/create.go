package wire

import "github.com/claudemesh/claudemesh-go/signed"

// CreateRequest is the JSON body of POST [PathMeshes]: what makes a mesh, in
// one batch [CM-9.12]. Where the broker wants a one-time token it comes in the
// header "Authorization: Bearer …".
type CreateRequest struct {
	Entries []signed.Object `json:"entries"` // genesis, the owner's invite, the first peer's join
}

// CreateAnswer is the JSON body of the answer. A refusal carries an [Error]
// frame's object instead, with the status of its code.
type CreateAnswer struct {
	Head signed.Object `json:"head"` // over the last entry
}
