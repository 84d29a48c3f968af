package roster

import (
	"iter"
	"math/bits"
)

// table is a map from 32 bytes to values that never changes: put gives a new table
// and shares what is not on the way to the new entry, about log2(size) nodes. That
// makes a state a value, and one for every place of a chain affordable. (A crit-bit
// tree: an inner node says which bit decides.)
type table[V any] struct {
	root *node[V]
	size int
}

type tableKey = [32]byte

type node[V any] struct {
	bit  int // of the key, counted from the first byte's highest
	kids [2]*node[V]
	leaf *leaf[V] // instead of kids
}

type leaf[V any] struct {
	key   tableKey
	value V
}

// get finds the value of a key.
func (t table[V]) get(key tableKey) (value V, found bool) {
	if l := t.nearest(key); l != nil && l.key == key {
		return l.value, true
	}
	return value, false
}

// nearest finds the only leaf that may have the key.
func (t table[V]) nearest(key tableKey) *leaf[V] {
	n := t.root
	if n == nil {
		return nil
	}
	for n.leaf == nil {
		n = n.kids[bitOf(key, n.bit)]
	}
	return n.leaf
}

// put gives a table in which key has value.
func (t table[V]) put(key tableKey, value V) table[V] {
	fresh := &node[V]{leaf: &leaf[V]{key, value}}
	near := t.nearest(key)
	if near == nil {
		return table[V]{root: fresh, size: 1}
	}
	differs := firstDifference(near.key, key)
	size := t.size
	if differs < keyBits {
		size++
	}
	return table[V]{root: t.root.put(fresh, differs), size: size}
}

// keyBits is the number of bits in a key.
const keyBits = 8 * len(tableKey{})

// put copies the way to where fresh belongs, whose key differs from the nearest one
// there first in bit differs (keyBits: not at all).
func (n *node[V]) put(fresh *node[V], differs int) *node[V] {
	if n.leaf != nil || differs < n.bit {
		if differs == keyBits {
			return fresh
		}
		inner := &node[V]{bit: differs}
		side := bitOf(fresh.leaf.key, differs)
		inner.kids[side], inner.kids[1-side] = fresh, n
		return inner
	}
	copied := *n
	side := bitOf(fresh.leaf.key, n.bit)
	copied.kids[side] = n.kids[side].put(fresh, differs)
	return &copied
}

// all gives the values in the order of their keys.
func (t table[V]) all() iter.Seq[V] {
	return func(yield func(V) bool) {
		if t.root != nil {
			t.root.each(yield)
		}
	}
}

func (n *node[V]) each(yield func(V) bool) bool {
	if n.leaf != nil {
		return yield(n.leaf.value)
	}
	return n.kids[0].each(yield) && n.kids[1].each(yield)
}

func bitOf(key tableKey, bit int) int { return int(key[bit/8]>>(7-bit%8)) & 1 }

// firstDifference is the first bit in which two keys differ, keyBits if none.
func firstDifference(a, b tableKey) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return keyBits
}
