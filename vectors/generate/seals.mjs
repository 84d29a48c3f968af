// Vectors about boxes, direct messages and messages for several recipients.

import {
  ENVELOPE, USE_CONTENT, USE_MESSAGE, b64, box, commit, concat, contentBox, pad, peer, random, sealContent, sha256,
  shared, sign, sodium, text,
} from './forms.mjs'
import { badKeys } from './keys.mjs'
import { MESH, json, message } from './texts.mjs'
import { attack } from './twokeys.mjs'

const nonce = (name) => random('nonce ' + name, 24)

// mirror gives the ed25519 key with the other x: another key, with the same X25519 key.
const mirror = (key) => flip(key, 31, 0x80)

function flip(bytes, at, bits = 1) {
  const changed = bytes.slice()
  changed[at < 0 ? bytes.length + at : at] ^= bits
  return changed
}

export function boxVectors() {
  const [alice, bob] = [peer('alice'), peer('bob')]
  const boxes = []
  for (const size of [0, 1, 31, 32, 33, 63, 64, 65, 256, 1000]) {
    const plain = random('plain ' + size, size)
    const n = nonce('box ' + size)
    boxes.push({
      name: `${size} bytes`, private: b64(alice.curvePrivate), public: b64(bob.curvePublic), nonce: b64(n),
      shared: b64(shared(alice, bob.publicKey)), plain: b64(plain),
      box: b64(sodium.crypto_box_easy(plain, n, bob.curvePublic, alice.curvePrivate)),
    })
  }
  const secretboxes = [0, 1, 32, 33, 256, 1000].map((size) => {
    const [key, n, plain] = [random('key ' + size, 32), nonce('secretbox ' + size), random('plain ' + size, size)]
    return {
      name: `${size} bytes`, key: b64(key), nonce: b64(n), plain: b64(plain), commit: b64(commit(key)),
      box: b64(sodium.crypto_secretbox_easy(plain, n, key)),
    }
  })
  return {
    about: 'The primitives alone: shared is crypto_box_beforenm, box crypto_box_easy and crypto_secretbox_easy, ' +
      'commit SHA-256("claudemesh/v1/commit" || 0x00 || key).',
    box: boxes, secretbox: secretboxes,
  }
}

// context is what the recipient knows before it opens.
const context = (own, sender, m, changes = {}) => ({
  own_seed: b64(own.seed), sender: b64(sender.publicKey), mesh: b64(MESH), id: m.id, receipt: false, stranger: false, ...changes,
})

export function directVectors() {
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map(peer)
  const vectors = []
  // put makes a vector out of a plaintext; own and sender are who opens and from whom.
  const put = (name, outcome, { from = alice, to = bob, own = to, sender = from, m = message(from.publicKey, [to.publicKey]),
    use = USE_MESSAGE, plain = pad(json(m)), change = (b) => b, kx = 1, expect = {} } = {}) => {
    const bytes = change(box(from, to.publicKey, use, plain, nonce(name), kx))
    vectors.push({
      name, ...context(own, sender, m, expect), box: b64(bytes), ...(outcome === 'ok' ? { message: b64(json(m)) } : {}), outcome,
    })
  }
  const to = (keys, changes) => message(alice.publicKey, keys, changes)
  const ownKey = [bob.publicKey]
  put('a message', 'ok')
  put('to oneself', 'ok', { to: alice })
  put('empty body', 'ok', { m: to(ownKey, { body: undefined }) })
  for (const size of [100, 1000, 5000]) put(`body of ${size}`, 'ok', { m: to(ownKey, { body: 'ä'.repeat(size / 2) }) })
  put('escapes', 'ok', { m: to(ownKey, { body: '"\\\b\f\n\r\t\u0000\u001f\u007f\u2028\u2029<&>😀' }) })
  const signed = to(ownKey)
  put('signed inside', 'ok', { m: signed, plain: pad(json(signed), sign(alice, ENVELOPE, json(signed))) })
  const bare = { seq: undefined, body: undefined }
  const receipt = { kind: 'receipt', ...bare, receipts: [{ id: b64(random('x', 16)), hash: b64(random('y', 32)), state: 'seen' }] }
  put('receipt', 'ok', { m: to(ownKey, receipt), expect: { receipt: true } })
  const roster = { kind: 'roster', ...bare, roster: { ask: true, from: 0 } }
  put('roster from a stranger', 'ok', { m: to(ownKey, roster), expect: { stranger: true } })

  put('another recipient', 'wrong_key', { own: carol })
  put('another sender', 'wrong_key', { sender: carol })
  put('empty', 'malformed', { change: () => new Uint8Array(0) })
  put('kx 0', 'malformed', { kx: 0 })
  put('kx 2, reserved', 'malformed', { kx: 2 })
  for (const [name, at] of [['nonce', 1], ['tag', 25], ['use', 41], ['length', 42], ['last byte', -1]]) {
    put(`bit of the ${name} flipped`, 'wrong_key', { change: (b) => flip(b, at) })
  }
  for (const size of [1, 25, 40, 41]) put(`truncated to ${size}`, 'malformed', { change: (b) => b.slice(0, size) })
  put('truncated by one', 'wrong_key', { change: (b) => b.slice(0, -1) })
  put('one byte more', 'wrong_key', { change: (b) => concat(b, [0]) })
  put('use of a content key', 'malformed', { use: USE_CONTENT })
  put('use 0', 'malformed', { use: 0 })
  put('use 3, reserved', 'malformed', { use: 3 })

  const data = json(to(ownKey))
  const plainly = (name, plain) => put(name, 'malformed', { m: to(ownKey), plain })
  plainly('nothing in it', new Uint8Array(0))
  plainly('255 zeros', new Uint8Array(255))
  plainly('256 zeros', new Uint8Array(256))
  plainly('length beyond the plaintext', pad(data, null, { length: 100000 }))
  plainly('length of 2^32 - 1', pad(data, null, { length: 2 ** 32 - 1 }))
  plainly('length that leaves no flag', pad(data, null, { length: pad(data).length - 4 }))
  plainly('signed is 2', pad(data, null, { flag: 2 }))
  plainly('signed without signature', concat(pad(data).slice(0, 4), data, [1]))
  plainly('no padding', concat(pad(data).slice(0, 4), data, [0]))
  plainly('too much padding', concat(pad(data), new Uint8Array(32)))
  plainly('padding of ones', pad(data, null, { fill: 1 }))
  plainly('last byte of the padding is 1', flip(pad(data), -1))
  plainly('not JSON', pad(text('hello')))
  put('signed by another', 'bad_signature', { m: signed, plain: pad(json(signed), sign(bob, ENVELOPE, json(signed))) })
  put('signed for another use', 'bad_signature',
    { m: signed, plain: pad(json(signed), sign(alice, 'claudemesh/v1/card', json(signed))) })

  put('sender inside is another', 'sender', { m: message(carol.publicKey, ownKey) })
  put('sent back to its maker', 'sender', { own: alice, sender: bob })
  put('sender is the mirror image of who made the box', 'sender', { sender: { publicKey: mirror(alice.publicKey) } })
  put('sender inside is the mirror image of who made the box', 'sender', { m: message(mirror(alice.publicKey), ownKey) })
  put('audience is the mirror image of the own key', 'audience', { m: to([mirror(bob.publicKey)]) })
  put('another mesh', 'mesh', { m: to(ownKey, { mesh: b64(random('other mesh', 16)) }) })
  put('audience is another', 'audience', { m: to([carol.publicKey]) })
  put('audience of several in the direct form', 'audience', { m: to([bob.publicKey, carol.publicKey]) })
  put('audience of 300 in the direct form', 'audience', { m: to([], { audience: { count: 300 } }) })
  put('the frame has another id', 'id', { expect: { id: b64(random('other id', 16)) } })
  put('a message in the class of receipts', 'class', { expect: { receipt: true } })
  put('a receipt in the class of messages', 'class', { m: to(ownKey, receipt) })
  put('a message from a stranger', 'stranger', { expect: { stranger: true } })
  put('a receipt from a stranger', 'stranger', { m: to(ownKey, receipt), expect: { receipt: true, stranger: true } })
  put('kind of a later version', 'unknown_kind', { m: to(ownKey, { kind: 'whisper' }) })

  for (const { name, key } of badKeys()) {
    vectors.push({
      name: 'sender key: ' + name, ...context(bob, { publicKey: key }, to(ownKey)), box: b64(box(alice, bob.publicKey,
        USE_MESSAGE, pad(data), nonce('bad'))), outcome: 'bad_key',
    })
  }
  return {
    about: 'Direct messages: kx(1) || nonce(24) || crypto_box_easy(use(1) || plaintext), opened by own_seed as from ' +
      'sender, in mesh, where the frame says id, class receipt or not, and the roster whether the sender is a stranger.',
    vectors,
  }
}

// TWO_KEYS_COUNTER is where a search from 0 found what attack needs, in about two
// minutes. Whoever changes the message has to search again: attack(…, 0, 1e9).
const TWO_KEYS_COUNTER = 19433122

export function groupVectors() {
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map(peer)
  const both = [bob.publicKey, carol.publicKey]
  const vectors = []
  const put = (name, outcome, { own = bob, sender = alice, m = message(alice.publicKey, both, { body: 'To all.' }),
    plain = pad(json(m)), key = random('content key', 32), sealed = sealContent(key, plain, nonce(name)),
    ownBox = contentBox(alice, own.publicKey, key, sealed, nonce(name + ' box')), expect = {} } = {}) => {
    vectors.push({
      name, ...context(own, sender, m, expect), box: b64(ownBox), sealed: b64(sealed),
      ...(outcome === 'ok' ? { message: b64(json(m)) } : {}), outcome,
    })
  }
  const key = random('content key', 32)
  const standard = message(alice.publicKey, both, { body: 'To all.' })
  const sealed = sealContent(key, pad(json(standard)), nonce('standard'))
  const boxFor = (own, s = sealed, k = key) => contentBox(alice, own.publicKey, k, s, nonce('standard box'))
  put('for bob', 'ok')
  put('for carol', 'ok', { own: carol })
  put('for oneself too', 'ok', { own: alice, m: message(alice.publicKey, [alice.publicKey, ...both]) })
  put('any one device', 'ok', { m: message(alice.publicKey, both, { audience: { keys: both.map(b64), one: true } }) })
  put('257 recipients', 'ok', { m: message(alice.publicKey, [], { audience: { address: '*', count: 257 } }) })

  put("another's box", 'wrong_key', { sealed, ownBox: boxFor(carol) })
  put('box made by another recipient', 'wrong_key', { sealed, ownBox: contentBox(carol, bob.publicKey, key, sealed, nonce('c')) })
  put('another recipient passes it on as its own', 'sender',
    { sealed, sender: carol, ownBox: contentBox(carol, bob.publicKey, key, sealed, nonce('c')) })
  const other = sealContent(key, pad(json(message(alice.publicKey, both, { body: 'Forged.' }))), nonce('forged'))
  put('another text under the same key', 'wrong_key', { sealed: other, ownBox: boxFor(bob) })
  for (const [name, at] of [['commitment', 0], ['nonce', 32], ['tag', 56], ['last byte', -1]]) {
    put(`bit of the ${name} flipped`, 'wrong_key', { sealed: flip(sealed, at), ownBox: boxFor(bob) })
    put(`bit of the ${name} flipped by the sender`, 'wrong_key',
      { sealed: flip(sealed, at), ownBox: boxFor(bob, flip(sealed, at)) })
  }
  put('bit of the box flipped', 'wrong_key', { sealed, ownBox: flip(boxFor(bob), -1) })
  put('truncated', 'wrong_key', { sealed: sealed.slice(0, -1), ownBox: boxFor(bob) })
  put('truncated by the sender', 'wrong_key', { sealed: sealed.slice(0, -1), ownBox: boxFor(bob, sealed.slice(0, -1)) })
  put('truncated to 71', 'malformed', { sealed: sealed.slice(0, 71), ownBox: boxFor(bob, sealed.slice(0, 71)) })
  put('nothing sealed', 'malformed', { sealed: new Uint8Array(0), ownBox: boxFor(bob) })
  put('no box', 'malformed', { sealed, ownBox: new Uint8Array(0) })
  put('box of 63 bytes', 'malformed',
    { sealed, ownBox: box(alice, bob.publicKey, USE_CONTENT, concat(key, sha256(sealed)).slice(0, 63), nonce('63')) })
  put('box of 65 bytes', 'malformed',
    { sealed, ownBox: box(alice, bob.publicKey, USE_CONTENT, concat(key, sha256(sealed), [0]), nonce('65')) })
  put('box for a message', 'malformed',
    { sealed, ownBox: box(alice, bob.publicKey, USE_MESSAGE, concat(key, sha256(sealed)), nonce('use')) })
  put('box and sealed change places', 'malformed', { sealed: boxFor(bob), ownBox: sealed })

  put('audience of one in the form for several', 'audience', { m: message(alice.publicKey, [bob.publicKey]) })
  put('own key is not in the audience', 'audience', { own: bob, m: message(alice.publicKey, [alice.publicKey, carol.publicKey]) })
  put('sender is the mirror image of who made the box', 'sender', { sender: { publicKey: mirror(alice.publicKey) } })
  put('audience has the mirror image of the own key', 'audience',
    { m: message(alice.publicKey, [mirror(bob.publicKey), carol.publicKey]) })
  put('another mesh', 'mesh', { m: message(alice.publicKey, both, { mesh: b64(random('other mesh', 16)) }) })
  put('sender inside is another', 'sender', { m: message(carol.publicKey, both) })
  put('the frame has another id', 'id', { expect: { id: b64(random('other id', 16)) } })
  put('a message in the class of receipts', 'class', { expect: { receipt: true } })

  // One ciphertext under two keys: bob's is the honest one.
  const [keyA, keyB] = [random('key A', 32), random('key B', 32)]
  const n = nonce('two keys')
  const make = (filler) => {
    for (let spaces = 0; ; spaces++) {
      const m = message(alice.publicKey, both, {
        audience: { address: 'bob' + ' '.repeat(spaces), keys: both.map(b64) }, body: 'Pay 10 to ' + filler })
      const plain = pad(json(m))
      if (Buffer.from(plain).indexOf(filler) % 16 === 0) return plain
    }
  }
  const found = attack(keyA, keyB, n, make, TWO_KEYS_COUNTER)
  const plain = found.opened
  const length = new DataView(plain.buffer, plain.byteOffset).getUint32(0)
  const m = JSON.parse(Buffer.from(plain.slice(4, 4 + length)))
  for (const [name, committed] of [['the first', keyA], ['the second', keyB]]) {
    const sealed = concat(commit(committed), n, found.sealed)
    for (const [own, k] of [[bob, keyA], [carol, keyB]]) {
      const outcome = committed !== k ? 'wrong_key' : k === keyA ? 'ok' : 'malformed'
      put(`opens under two keys, ${name} is committed to, ${own === bob ? 'the first' : 'the second'} is given`, outcome,
        { own, m, sealed, ownBox: boxFor(own, sealed, k) })
    }
  }
  return {
    about: 'Messages for several: sealed is commit(32) || nonce(24) || crypto_secretbox_easy(plaintext), box the ' +
      'recipient\'s own one with K || SHA-256(sealed). The last four: one ciphertext which libsodium opens under two ' +
      'keys (under the second to nonsense); without the commitment both recipients would take it.',
    vectors,
  }
}
