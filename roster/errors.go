package roster

import (
	"errors"
	"fmt"
)

// Why an entry does not count, or would not. All of them are found with errors.Is;
// errors carry what is concerned in their text, names and key prefixes only. [CM-5]
var (
	// ErrPlace: it is not signed on the last entry. Others were faster: look at
	// what is new, decide, and sign again.
	ErrPlace = errors.New("roster: not signed on the last entry")
	// ErrTime: its time is before that of an entry that counted.
	ErrTime = errors.New("roster: its time is before the last entry's")
	// ErrClock: its time is more than 5 minutes ahead of the broker's clock or 10
	// behind it. Only a broker says so.
	ErrClock = errors.New("roster: its time is too far from the broker's clock")
	// ErrNotEntitled: its signer may not say this.
	ErrNotEntitled = errors.New("roster: the signer is not entitled")
	// ErrRevoked: the signer, or the key it is about, is revoked.
	ErrRevoked = errors.New("roster: revoked")
	// ErrPending: the signer, or the peer it is about, still waits for a yes.
	ErrPending = errors.New("roster: still waits for a yes")
	// ErrUnknownKey: it is about a key that the mesh does not know in that role.
	ErrUnknownKey = errors.New("roster: no such key in the mesh")
	// ErrKeyUsed: it brings a key that the mesh has seen before: a key enters once
	// and in one role.
	ErrKeyUsed = errors.New("roster: the key was used in this mesh before")
	// ErrAlready: it says what already holds.
	ErrAlready = errors.New("roster: nothing changes by it")
	// ErrNameTaken: the user has a device of that name.
	ErrNameTaken = errors.New("roster: the user has a device of that name")
	// ErrLapsed: the join waited for 7 days.
	ErrLapsed = errors.New("roster: the join lapsed")
	// ErrCap: a limit is reached, see [MaxDevices], [MaxInvites], [MaxEntries].
	ErrCap = errors.New("roster: a limit is reached")
	// ErrInviteClosed: the invite does not let anybody in any more. One of
	// ErrInviteRevoked, ErrInviteUsed, ErrInviteExpired and ErrInviteMaker says why.
	ErrInviteClosed = errors.New("roster: the invite is closed")
	// ErrInviteRevoked: it was revoked, or closed with a peer that came by it.
	ErrInviteRevoked = fmt.Errorf("%w: revoked", ErrInviteClosed)
	// ErrInviteUsed: no uses are left.
	ErrInviteUsed = fmt.Errorf("%w: used up", ErrInviteClosed)
	// ErrInviteExpired: its time is over.
	ErrInviteExpired = fmt.Errorf("%w: expired", ErrInviteClosed)
	// ErrInviteMaker: who made it may not make such invites any more.
	ErrInviteMaker = fmt.Errorf("%w: its maker lost the right", ErrInviteClosed)
	// ErrInviteOther: it is open, but not for this user or this kind of peer.
	ErrInviteOther = errors.New("roster: the invite is not for this user or kind of peer")
)

// Why a [Roster] does not take a page.
var (
	// ErrOverruled: the page leaves the chain before a heal that counts for this
	// holder. [CM-5.45]
	ErrOverruled = errors.New("roster: that order was ended by a heal")
	// ErrHealRefused: the page is ordered by a heal that does not count for this
	// holder, since its signer is revoked or banned. [CM-5.46]
	ErrHealRefused = errors.New("roster: a heal by a revoked key")
	// ErrNotOrderer: a heal names another broker than the one that is to order it.
	ErrNotOrderer = errors.New("roster: another broker orders this mesh")
)

// refuse makes an error that wraps one of the reasons.
func refuse(reason error, format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{reason}, args...)...)
}
