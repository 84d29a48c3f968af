package peer

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Options says how to open a peer. The zero value opens the default mesh of
// the default profile and receives nothing.
type Options struct {
	// Dir is the profile's folder. Empty: $CLAUDEMESH_CONFIG_DIR, else
	// ~/.claudemesh.
	Dir string
	// Mesh is the alias or the id of the mesh. Empty: the profile's default
	// mesh, which is its only one where there is only one.
	Mesh string
	// Label names the session. Empty: the base name of Cwd as a slug. It is
	// made unique among the profile's live sessions ("web-shop-2").
	Label string
	// Client is name and version of the program, for the broker's operator:
	// "claudemesh/0.4.1". Empty: "peer".
	Client string
	// Receives says what is delivered to this session. Empty: Nothing.
	Receives Receives
	// Cwd is the working directory that the session works in. Empty: the
	// process's own.
	Cwd string
	// Logger gets what an operator may want to know: dials, broken
	// connections, never a body or a secret. Nil: nothing is logged.
	Logger *slog.Logger
	// Dial makes the connections to the broker, network "tcp" or "unix".
	// Nil: a net.Dialer. Tests and programs with networks of their own set it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// StartBroker starts the profile's own broker, the one with this key, and
	// returns once somebody listens on its socket. It is called where a mesh is
	// served by it and nobody does: [ErrNotOwnBroker] says that the key is not
	// its. Nil: nothing is started, and the mesh is dialled elsewhere.
	StartBroker func(ctx context.Context, broker Key) error
	// Listen opens the process's local socket, by which the other processes of
	// the profile wake it; network is "unix". Nil: net.Listen.
	Listen func(network, address string) (net.Listener, error)
	// ClientPID is the process id of the coding agent that started this process,
	// after which the local socket is named, so that its hooks find it. 0: none.
	ClientPID int
	// Offline: never dial; what needs the broker returns NotReachableError.
	Offline bool

	clock func() time.Time // this machine's; nil: the system's
}

// ConnState is the state of a peer's connection.
type ConnState string

// The states of a connection.
const (
	Offline    ConnState = "offline"    // not dialling, or waiting for the next try
	Connecting ConnState = "connecting" // dialling or shaking hands
	Online     ConnState = "online"     // welcomed, chain up to date
	Waiting    ConnState = "waiting"    // welcomed, but the join waits for a yes
	Ended      ConnState = "ended"      // revoked, left or closed: no more dials
)

// Condition is the connection's state with what led to it.
type Condition struct {
	State ConnState
	Host  string    // dialled last
	Since time.Time // of this state
	// Err is why it is not online: NotReachableError, TamperError,
	// RevokedError, UpdateError, …; nil while all is well.
	Err error
}

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	// EventMessage: something waits for this session: call Take or Next.
	EventMessage EventKind = "message"
	// EventState: the connection's condition changed.
	EventState EventKind = "state"
	// EventRoster: somebody joined, left, was admitted or revoked.
	EventRoster EventKind = "roster"
	// EventPresence: somebody came, went or changed status.
	EventPresence EventKind = "presence"
	// EventRequest: somebody wants in as a device of this user, or waits for
	// an admin's yes: see Requests.
	EventRequest EventKind = "request"
	// EventProgress: the state of a message that this profile sent changed.
	EventProgress EventKind = "progress"
	// EventWarning: the user must know (tampering, a clock that is wrong).
	EventWarning EventKind = "warning"
)

// Event tells that something changed.
type Event struct {
	Kind EventKind
	// Text is one sentence for the user: for warnings, roster and requests.
	Text string
	// ID is the message, for EventProgress.
	ID MessageID
}
