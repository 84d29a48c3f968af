// Sealing and opening (CM-4).
import sodium from 'libsodium-wrappers'
import { b64, concat, equal, hashOf, need, random, refuse, sha256, un64, utf8 } from './bytes.mjs'
import { checkSignature, shared } from './keys.mjs'
import { readMessage } from './message.mjs'

const kx = 1 // CM-4.3
const useMessage = 1
const useContentKey = 2 // CM-4.4

function padded(length) { // CM-4.6
  if (length <= 256) return 256
  const e = 31 - Math.clz32(length)
  const s = 32 - Math.clz32(e)
  const m = 2 ** (e - s) - 1
  return Math.floor((length + m) / (m + 1)) * (m + 1)
}

// plaintext is a message's bytes as they are sealed, unsigned (CM-4.5, CM-4.8).
function plaintext(message) {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, message.length)
  const all = concat(length, message, [0])
  return concat(all, new Uint8Array(padded(all.length) - all.length))
}

// unpad gives the message of a plaintext, and its signature if it has one (CM-4.7).
function unpad(plain) {
  need(plain.length >= 256, 'the plaintext is too short')
  const end = 4 + new DataView(plain.buffer, plain.byteOffset).getUint32(0)
  need(end < plain.length && plain[end] <= 1, 'the length or the flag')
  const all = end + 1 + 64 * plain[end]
  need(all <= plain.length && padded(all) === plain.length && plain.subarray(all).every(b => b === 0), 'the filling')
  return { data: plain.slice(4, end), sig: plain[end] ? plain.slice(end + 1, all) : null }
}

function box(own, other, use, payload) { // CM-4.2
  const nonce = random(24)
  return concat([kx], nonce, sodium.crypto_box_easy_afternm(concat([use], payload), nonce, shared(own, other)))
}

function unbox(own, other, use, sealed) { // CM-4.23
  const key = shared(own, other)
  need(sealed.length >= 42 && sealed[0] === kx, 'no box')
  let plain
  try {
    plain = sodium.crypto_box_open_easy_afternm(sealed.subarray(25), sealed.subarray(1, 25), key)
  } catch {
    refuse('wrong_key')
  }
  need(plain[0] === use, 'another use')
  return plain.subarray(1)
}

const encode = message => utf8(JSON.stringify(message))

export const sealDirect = (own, to, message) => box(own, to, useMessage, plaintext(encode(message))) // CM-4.17

// sealGroup seals for several: once, and a box for each (CM-4.18).
export function sealGroup(own, to, message) {
  const key = random(32)
  const nonce = random(24)
  const sealed = concat(hashOf('commit', key), nonce, sodium.crypto_secretbox_easy(plaintext(encode(message)), nonce, key))
  return { sealed, boxes: to.map(other => box(own, other, useContentKey, concat(key, sha256(sealed)))) }
}

function unseal(own, other, ownBox, sealed) { // CM-4.20
  const payload = unbox(own, other, useContentKey, ownBox)
  need(payload.length === 64 && sealed.length >= 72, 'no content key, or nothing sealed')
  const key = payload.subarray(0, 32)
  if (!equal(payload.subarray(32), sha256(sealed)) || !equal(sealed.subarray(0, 32), hashOf('commit', key))) refuse('wrong_key')
  try {
    return sodium.crypto_secretbox_open_easy(sealed.subarray(56), sealed.subarray(32, 56), key)
  } catch {
    refuse('wrong_key')
  }
}

export const sealedHash = payload => b64(sha256(payload)) // CM-4.22

// open opens a payload as its frame says it is, in the order of CM-4.23 to CM-4.31.
// frame has from, id, isReceipt and, of a message for several, box; stranger tells that
// from is no member.
export function open(own, mesh, frame, payload, stranger) {
  const several = frame.box !== undefined
  const plain = several ? unseal(own, frame.from, frame.box, payload) : unbox(own, frame.from, useMessage, payload)
  const { data, sig } = unpad(plain)
  const m = readMessage(data)
  if (m.from !== frame.from) refuse('sender') // CM-4.25
  if (sig) checkSignature('envelope', data, sig, m.from) // CM-4.26
  checkAudience(m.audience, own.public, several)
  if (m.mesh !== mesh) refuse('mesh') // CM-4.28
  if (m.id !== frame.id) refuse('id') // CM-4.29
  if ((m.kind === 'receipt') !== frame.isReceipt) refuse('class') // CM-4.30
  if (stranger && m.kind !== 'roster') refuse('stranger') // CM-4.31
  return { message: m, data }
}

function checkAudience(a, own, several) { // CM-4.27
  const listed = a.keys.includes(own)
  const fits = several ? a.count > 0 || a.keys.length > 1 && listed : a.keys.length === 1 && listed
  if (!fits) refuse('audience')
}

// primitives are what vectors/box.json is about.
export const primitives = {
  shared: (priv, pub) => sodium.crypto_box_beforenm(un64(pub), un64(priv)),
  box: (v) => sodium.crypto_box_easy_afternm(un64(v.plain), un64(v.nonce), un64(v.shared)),
  secretbox: (v) => sodium.crypto_secretbox_easy(un64(v.plain), un64(v.nonce), un64(v.key)),
}
