package peer

import "errors"

type (
	peerState struct{}
	setState  struct{}
)

var errSkeleton = errors.New("not there yet")
