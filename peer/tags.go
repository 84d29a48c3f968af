package peer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Tag adds and removes tags of this peer, by which others address it (@backend), and
// returns those that it has then. Where the broker does not answer they are set here,
// and the next session that runs tells them: NotReachableError.
func (p *Peer) Tag(ctx context.Context, add, remove []string) (tags []string, err error) {
	for _, tag := range slices.Concat(add, remove) {
		if !keys.IsSlug(strings.ToLower(tag)) {
			return nil, &UsageError{Sentence: fmt.Sprintf("%q is no tag: letters, digits, dot, hyphen and underscore, 32 at most", tag)}
		}
	}
	err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		text, err := tx.Value(valueTags)
		if err != nil {
			return err
		}
		tags = strings.Fields(text)
		for _, tag := range add {
			tags = append(tags, strings.ToLower(tag))
		}
		slices.Sort(tags)
		tags = slices.Compact(tags)
		tags = slices.DeleteFunc(tags, func(have string) bool {
			return slices.ContainsFunc(remove, func(gone string) bool { return strings.EqualFold(have, gone) })
		})
		if len(tags) > wire.MaxTags {
			return &UsageError{Sentence: fmt.Sprintf("a peer has %d tags at most, these are %d", wire.MaxTags, len(tags))}
		}
		return tx.SetValue(valueTags, strings.Join(tags, " "))
	})
	if err != nil {
		return nil, err
	}
	p.reloadCard()
	p.pokeAll(ctx, pokeCard)
	return tags, p.tellTags(ctx)
}

// tellTags tells the broker this peer's own card, also where no session of it runs,
// and waits until it has it.
func (p *Peer) tellTags(ctx context.Context) error {
	if err := p.subscribe(ctx); err != nil {
		return err // also for the counter: the card that the broker has may be newer
	}
	l, err := p.onlineLine(ctx)
	if err != nil {
		return err
	}
	f := &wire.Presence{}
	if err := p.signCards(f, p.now(), Idle); err != nil {
		return err
	}
	f.Cards = f.Cards[:1]
	if err := l.send(f, nil); err != nil {
		return err
	}
	_, err = l.request(ctx, func(id uint64) wire.Frame { return &wire.Subscribe{ID: id} })
	return err
}

// ownTags reads the peer's tags.
func (p *Peer) ownTags(ctx context.Context) (tags []string, err error) {
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		text, err := tx.Value(valueTags)
		tags = strings.Fields(text)
		return err
	})
	return tags, err
}
