// What a peer refuses (CM-4.23 to CM-4.32, CM-8.18), in a mesh that is made here.
import assert from 'node:assert/strict'
import test from 'node:test'
import { b64, concat, hashOf, random, un64, utf8, zero } from './bytes.mjs'
import { Chain, makeEntry } from './chain.mjs'
import { judge, nameOf, Order } from './inbox.mjs'
import { newKey, newMessageID, sign } from './keys.mjs'
import { sealDirect } from './seal.mjs'

const now = 1_795_000_100_000
const genesisRandom = b64(random(16)) // the same in each mesh, so that they are histories of one
const [owner, recovery, broker, invite, alice, bob, carol] = Array.from({ length: 7 }, () => newKey())

// mesh gives a chain in which alice and bob are members, and carol is what fields say.
function mesh(...more) {
  const objects = []
  let id = zero(16)
  let prev = zero(32)
  const add = (fields, ...signers) => {
    const object = makeEntry({ mesh: id, n: objects.length, prev, time: now - 1000, by: signers[0].public, ...fields }, ...signers)
    prev = b64(hashOf('entry', un64(object.signed)))
    if (objects.push(object) === 1) id = b64(un64(prev).subarray(0, 16))
  }
  const joins = (user, key) => add({ type: 'join', user, device: 'desk', peer: key.public, kind: 'agent' }, invite, key)
  add({ type: 'genesis', name: 'acme', recovery: recovery.public, broker: broker.public, urls: ['unix:'], random: genesisRandom }, owner)
  add({ type: 'invite', key: invite.public, rank: 1, user: '', expires: now, uses: 9, kinds: ['agent'], approve: false }, owner)
  joins('alice', alice)
  joins('bob', bob)
  for (const step of more) step(add, joins)
  const head = sign('head', utf8(JSON.stringify({ mesh: id, chain: zero(32), n: objects.length - 1, hash: prev, time: now, life: 1 })), broker)
  const chain = new Chain(id)
  chain.take(0, objects, head)
  return { chain, objects, head }
}

const { chain, objects, head } = mesh()
const state = { key: bob, mesh: chain.mesh, chain, known: {} }

function message(fields, from = alice) {
  return {
    id: newMessageID(now), mesh: state.mesh, from: from.public, session: b64(random(16)), audience: { keys: [bob.public] },
    seq: 1, kind: 'message', priority: 'next', time: now, expires: now + 1000, at: chain.at, body: 'hi', ...fields,
  }
}

const frameOf = (m, fields) => ({ id: m.id, class: 'message', from: m.from, box: '', ...fields })

function said(m, { key = alice, frame, at = now, of = state } = {}) {
  const verdict = judge(of, frameOf(m, frame), sealDirect(key, bob.public, m), at)
  return [verdict.state, verdict.why, verdict.class]
}

test('a message of a member is received', () => assert.deepEqual(said(message()), ['received', undefined, undefined]))
test('the wrong sender inside', () => assert.deepEqual(said(message({}, carol), { frame: { from: alice.public } }), ['refused', 'malformed', 'sender']))
test('the wrong sender in the frame', () => assert.deepEqual(said(message(), { frame: { from: carol.public } }), ['refused', 'malformed', 'wrong_key']))
test('the wrong audience', () => assert.deepEqual(said(message({ audience: { keys: [carol.public] } })), ['refused', 'malformed', 'audience']))
test('an envelope under another id', () => assert.deepEqual(said(message(), { frame: { id: newMessageID(now) } }), ['refused', 'malformed', 'id']))
test('an envelope of another mesh', () => assert.deepEqual(said(message({ mesh: b64(random(16)) })), ['refused', 'malformed', 'mesh']))
test('an envelope in the class of receipts', () => assert.deepEqual(said(message(), { frame: { class: 'receipt' } }), ['refused', 'malformed', 'class']))
test('an envelope moved to another recipient', () => {
  const m = message()
  const verdict = judge({ ...state, key: carol }, frameOf(m), sealDirect(alice, bob.public, m), now)
  assert.deepEqual([verdict.why, verdict.class], ['malformed', 'wrong_key'])
})
test('an envelope sent back to its sender', () => {
  const m = message()
  const verdict = judge({ ...state, key: alice }, frameOf(m, { from: bob.public }), sealDirect(alice, bob.public, m), now)
  assert.deepEqual([verdict.why, verdict.class], ['malformed', 'sender'])
})
test('a bit of the payload changed', () => {
  const m = message()
  const box = sealDirect(alice, bob.public, m)
  box[box.length - 1] ^= 1
  assert.equal(judge(state, frameOf(m), box, now).class, 'wrong_key')
})
test('an unknown member', () => assert.deepEqual(said(message({}, carol), { key: carol }), ['refused', 'not_member', 'stranger']))
test('a revoked member', () => {
  const of = mesh((add, joins) => joins('carol', carol), add => add({ type: 'revoke', keys: [carol.public] }, owner))
  const m = message({ mesh: of.chain.mesh, at: of.chain.at }, carol)
  assert.deepEqual(said(m, { key: carol, of: { ...state, ...of, mesh: of.chain.mesh } }), ['refused', 'revoked', 'stranger'])
})
test('an expired message', () => assert.deepEqual(said(message(), { at: now + 1000 }), ['refused', 'expired', undefined]))
test('a duplicate is received and not shown', () => {
  const m = message()
  const verdict = judge({ ...state, known: { [nameOf(m)]: now } }, frameOf(m), sealDirect(alice, bob.public, m), now)
  assert.deepEqual([verdict.state, verdict.message], ['received', undefined])
})
test('a place ahead, another place, and a time ahead are held', () => {
  for (const fields of [{ at: { n: 9, hash: chain.at.hash } }, { at: { n: 3, hash: b64(random(16)) } }, { time: now + 600_001, expires: now + 700_000 }]) {
    assert.deepEqual(said(message(fields)), ['held', undefined, undefined])
  }
})
test('a receipt of another history', () => {
  const m = message({ kind: 'receipt', seq: 0, body: '', at: { n: 3, hash: b64(random(16)) }, receipts: [{ id: newMessageID(), hash: b64(random(32)), state: 'seen' }] })
  assert.deepEqual(said(m, { frame: { class: 'receipt' } }), ['refused', 'fork', undefined])
})
test('what is missing and what is late is marked', () => {
  const order = new Order()
  const m = message()
  const marks = [1, 3, 2].map(seq => order.mark({ ...m, seq }))
  assert.deepEqual(marks, [{}, { missing: 1 }, { late: true }])
})

test('pages that no honest broker sends', () => {
  const takes = (list, under = head, from = 0, of = new Chain(chain.mesh)) => () => of.take(from, list, under)
  assert.doesNotThrow(takes(objects))
  assert.throws(takes(objects.slice(0, 3)), /the head stands elsewhere/)
  assert.throws(takes([objects[0], ...objects.slice(2)]), /out of its place/)
  assert.throws(takes([objects[0], objects[2], objects[1], objects[3]]), /out of its place/)
  assert.throws(takes(objects, head, 0, new Chain(zero(16))), /the genesis of another mesh/)
  const forged = { ...objects[3], sig: b64(concat(random(64), random(64))) }
  assert.throws(takes([...objects.slice(0, 3), forged]), e => e.class === 'broken')
  const body = JSON.parse(Buffer.from(un64(head.signed)))
  assert.throws(takes(objects, sign('head', utf8(JSON.stringify(body)), carol)), e => e.class === 'broken')
  const one = mesh((_, joins) => joins('carol', carol))
  const other = mesh((_, joins) => joins('mallory', carol))
  assert.throws(takes(other.objects, other.head, 0, one.chain), e => e.class === 'fork')
})
