// Vectors about keys: conversion, refused keys, signatures, numbers for people.

import {
  admitNumber, b64, base32, concat, fingerprint, fromSeed, messageDigits, messageId, peer, random,
  safetyNumber, sha256, sign, sodium, text,
} from './forms.mjs'
import * as curve from './edwards.mjs'

// accepts tells what libsodium says; what it throws counts as no.
function accepts(call) {
  try {
    return call() !== false
  } catch {
    return false
  }
}

// badKeys are keys that may not enter, by name, with the reason.
export function badKeys() {
  const alice = peer('alice')
  const list = []
  const small = curve.smallOrder()
  for (const [i, point] of small.entries()) {
    const order = [1, 8, 4, 8, 2, 8, 4, 8][i]
    list.push({ name: `small order ${order}, multiple ${i}`, why: 'order', key: curve.encode(point) })
  }
  const point = curve.decode(alice.publicKey)
  for (const i of [1, 2, 4]) {
    list.push({
      name: `mixed order: an honest key plus ${i} times the point of order 8`, why: 'order',
      key: curve.encode(curve.add(point, small[i])),
    })
  }
  list.push({ name: 'identity with the sign bit set', why: 'form', key: curve.encodeY(1n, 1) })
  list.push({ name: 'order 2 with the sign bit set', why: 'form', key: curve.encodeY(curve.P - 1n, 1) })
  for (const y of [0n, 1n]) {
    for (const s of [0, 1]) {
      list.push({ name: `y = p + ${y}, sign ${s}`, why: 'form', key: curve.encodeY(curve.P + y, s) })
    }
  }
  // y = p + k for k up to 18 fits into 255 bits; some of these are of large order.
  for (let y = 2n; y < 19n; y++) {
    if (curve.fromY(y, 0)) {
      list.push({ name: `y = p + ${y}`, why: 'form', key: curve.encodeY(curve.P + y, 0) })
    }
  }
  for (let y = 2n, found = 0; found < 2; y++) {
    if (!curve.fromY(y, 0)) {
      list.push({ name: `y = ${y}, not on the curve`, why: 'form', key: curve.encodeY(y, 0) })
      found++
    }
  }
  list.push({ name: 'all zeros (y = 0, order 4)', why: 'order', key: new Uint8Array(32) })
  list.push({ name: 'all ones', why: 'form', key: new Uint8Array(32).fill(255) })
  return list
}

export function keyVectors() {
  const vectors = []
  for (const name of ['alice', 'bob', 'carol', 'dave']) {
    const p = peer(name)
    vectors.push({
      name, seed: b64(p.seed), ed25519: b64(p.publicKey), x25519_private: b64(p.curvePrivate),
      x25519_public: b64(p.curvePublic), text: 'key-' + base32(p.publicKey), outcome: 'ok',
    })
  }
  for (const [name, byte] of [['seed of zeros', 0], ['seed of ones', 255]]) {
    const p = fromSeed(new Uint8Array(32).fill(byte))
    vectors.push({
      name, seed: b64(p.seed), ed25519: b64(p.publicKey), x25519_private: b64(p.curvePrivate),
      x25519_public: b64(p.curvePublic), text: 'key-' + base32(p.publicKey), outcome: 'ok',
    })
  }
  for (const { name, why, key } of badKeys()) {
    vectors.push({
      name, why, ed25519: b64(key), outcome: 'bad_key',
      libsodium_converts: accepts(() => sodium.crypto_sign_ed25519_pk_to_curve25519(key)),
    })
  }
  return {
    about: 'ed25519 keys, their X25519 forms as crypto_sign_ed25519_pk_to_curve25519 and ..._sk_to_curve25519 ' +
      'give them, and keys that are refused: why is "form" (no canonical encoding of a point) or "order" (the ' +
      'identity, or not in the prime-order group). libsodium_converts tells whether libsodium itself takes the key.',
    vectors,
  }
}

export function signatureVectors() {
  const alice = peer('alice')
  const bob = peer('bob')
  const vectors = []
  const message = text('{"mesh":"AQIDBAUGBwgJCgsMDQ4PEA","n":1}')
  const entry = 'claudemesh/v1/entry'
  const covered = concat(text(entry + '\0'), message)
  const put = (name, key, sig, outcome, extra = {}) => vectors.push({
    name, domain: entry, bytes: b64(message), key: b64(key), sig: b64(sig), outcome,
    libsodium_accepts: accepts(() => sodium.crypto_sign_verify_detached(sig, covered, key)), ...extra,
  })
  const good = sign(alice, entry, message)
  put('good', alice.publicKey, good, 'ok')
  for (const domain of ['head', 'hello', 'welcome', 'card', 'envelope', 'key']) {
    const name = 'claudemesh/v1/' + domain
    vectors.push({
      name: 'domain ' + domain, domain: name, bytes: b64(message), key: b64(alice.publicKey),
      sig: b64(sign(alice, name, message)), outcome: 'ok', libsodium_accepts: true,
    })
    put('made for domain ' + domain, alice.publicKey, sign(alice, name, message), 'bad_signature')
  }
  put('no domain', alice.publicKey, sodium.crypto_sign_detached(message, alice.privateKey), 'bad_signature')
  put('another key', bob.publicKey, good, 'bad_signature')
  for (const at of [0, 31, 32, 62]) {
    const flipped = good.slice()
    flipped[at] ^= 1
    put(`bit of byte ${at} flipped`, alice.publicKey, flipped, 'bad_signature')
  }
  put('truncated', alice.publicKey, good.slice(0, 63), 'bad_signature')
  put('one byte more', alice.publicKey, concat(good, [0]), 'bad_signature')
  put('empty', alice.publicKey, new Uint8Array(0), 'bad_signature')

  const a = curve.scalarOf(alice.seed)
  const s = curve.number(good.slice(32))
  put('s plus l', alice.publicKey, concat(good.slice(0, 32), curve.bytes32(s + curve.L)), 'bad_signature')

  const identity = curve.encode({ x: 0n, y: 1n })
  put('R is the identity', alice.publicKey,
    curve.signWith(identity, 0n, alice.publicKey, a, covered), 'bad_signature')
  put('R is the identity, written as y = p + 1', alice.publicKey,
    curve.signWith(curve.encodeY(curve.P + 1n, 0), 0n, alice.publicKey, a, covered), 'bad_signature')

  const small = curve.smallOrder()
  const r = curve.number(random('nonce of a signature', 32)) % curve.L
  const mixedR = curve.encode(curve.add(curve.multiply(r, curve.BASE), small[1]))
  put('R is of mixed order', alice.publicKey, curve.signWith(mixedR, r, alice.publicKey, a, covered),
    'bad_signature', { note: 'a verifier that multiplies by the cofactor has to refuse it by a check of its own' })

  const rBytes = curve.encode(curve.multiply(r, curve.BASE))
  put('the identity as key signs everything', identity, concat(rBytes, curve.bytes32(r)), 'bad_key')
  // With k a multiple of 8 the torsion of the key disappears.
  const mixedKey = curve.encode(curve.add(curve.decode(alice.publicKey), small[1]))
  for (let i = r; ; i++) {
    const bytes = curve.encode(curve.multiply(i, curve.BASE))
    if (curve.challenge(bytes, mixedKey, covered) % 8n !== 0n) continue
    put('a key of mixed order signs', mixedKey, curve.signWith(bytes, i, mixedKey, a, covered), 'bad_key')
    break
  }
  put('a key of order 8', curve.encode(small[1]), concat(rBytes, curve.bytes32(r)), 'bad_key')
  return {
    about: 'Signatures over domain || 0x00 || bytes. All members must agree, so one rule holds: the key is in the ' +
      'prime-order group, s is below l, and R is the canonical encoding of s*B - k*A and not of the identity. ' +
      'libsodium_accepts tells what crypto_sign_verify_detached alone says.',
    vectors,
  }
}

export function numberVectors() {
  const [a, b, c, d] = ['alice', 'bob', 'carol', 'dave'].map((name) => peer(name).publicKey)
  const mesh = sha256(text('a mesh')).slice(0, 16)
  const other = sha256(text('another mesh')).slice(0, 16)
  const safety = [
    ['one device each', mesh, [a], [b]], ['the other way round', mesh, [b], [a]],
    ['several devices', mesh, [a, c], [b, d]], ['in another order', mesh, [c, a], [d, b]],
    ['a device twice counts once', mesh, [a, a, c], [b, d]],
    ['another mesh', other, [a], [b]], ['with oneself', mesh, [a], [a]],
  ].map(([name, m, left, right]) => ({
    name, mesh: b64(m), a: left.map(b64), b: right.map(b64), number: safetyNumber(m, left, right),
  }))
  const admit = [a, b, c, d].flatMap((key) => [mesh, other].map((m) => ({
    mesh: b64(m), key: b64(key), number: admitNumber(m, key),
  })))
  const ids = [0, 1, 1764000000000, 2 ** 48 - 1].flatMap((ms) => [
    new Uint8Array(10), new Uint8Array(10).fill(255), random('id at ' + ms, 10),
  ].map((rand) => {
    const id = messageId(ms, rand)
    const digits = messageDigits(id)
    return { ms, random: b64(rand), id: b64(id), text: 'm-' + digits, tail4: 'm-' + digits.slice(-4) }
  }))
  const meshes = [mesh, other, new Uint8Array(16).fill(255)].map((id) => ({ id: b64(id), text: base32(id) }))
  const fingerprints = [a, b].map((key) => ({ key: b64(key), fingerprint: b64(fingerprint(key)), text: base32(fingerprint(key)) }))
  const invites = [a, b].map((key) => ({ key: b64(key), n: 6, text: 'i-' + base32(key).slice(0, 6) }))
  return {
    about: 'What people see and compare. Not by libsodium, whose functions it does not need; by other code than the Go one.',
    safety, admit, message_ids: ids, mesh_ids: meshes, fingerprints, invites,
  }
}
