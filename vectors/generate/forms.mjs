// The forms of docs/protocol.md, put together from libsodium's functions alone, by
// somebody who has not read the Go code. SHA-256 and SHA-512 come from Node.

import { createHash } from 'node:crypto'
import sodium from 'libsodium-wrappers'

await sodium.ready

export { sodium }

export const text = (string) => new TextEncoder().encode(string)
export const b64 = (bytes) => Buffer.from(bytes).toString('base64url')
export const unb64 = (string) => new Uint8Array(Buffer.from(string, 'base64url'))
export const sha256 = (...parts) => hash('sha256', parts)
export const sha512 = (...parts) => hash('sha512', parts)
export const equal = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0

function hash(name, parts) {
  const h = createHash(name)
  for (const part of parts) h.update(part)
  return new Uint8Array(h.digest())
}

export function concat(...parts) {
  return new Uint8Array(Buffer.concat(parts.map((part) => Buffer.from(part))))
}

// random gives bytes that are the same at every run, and different for every name.
export function random(name, size) {
  return sodium.randombytes_buf_deterministic(size, sha256(text('claudemesh vectors: ' + name)))
}

// peer makes the keys of a peer from its name.
export function peer(name) {
  return fromSeed(random('seed of ' + name, 32))
}

export function fromSeed(seed) {
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed)
  return {
    seed,
    publicKey,
    privateKey,
    curvePublic: sodium.crypto_sign_ed25519_pk_to_curve25519(publicKey),
    curvePrivate: sodium.crypto_sign_ed25519_sk_to_curve25519(privateKey),
  }
}

// shared is the key of two peers, from one's keys and the other's public ed25519 key.
export function shared(own, otherPublic) {
  return sodium.crypto_box_beforenm(
    sodium.crypto_sign_ed25519_pk_to_curve25519(otherPublic), own.curvePrivate)
}

export const USE_MESSAGE = 1
export const USE_CONTENT = 2

// box is kx(1) || nonce(24) || crypto_box_easy(use(1) || payload).
export function box(own, otherPublic, use, payload, nonce, kx = 1) {
  return concat([kx], nonce,
    sodium.crypto_box_easy_afternm(concat([use], payload), nonce, shared(own, otherPublic)))
}

// openBox gives the payload, or throws.
export function openBox(own, otherPublic, use, bytes) {
  if (bytes[0] !== 1) throw new Error('kx')
  const plain = sodium.crypto_box_open_easy_afternm(
    bytes.slice(25), bytes.slice(1, 25), shared(own, otherPublic))
  if (plain[0] !== use) throw new Error('use')
  return plain.slice(1)
}

export const commit = (key) => sha256(text('claudemesh/v1/commit\0'), key)

// sealContent is commit(32) || nonce(24) || crypto_secretbox_easy.
export function sealContent(key, plain, nonce) {
  return concat(commit(key), nonce, sodium.crypto_secretbox_easy(plain, nonce, key))
}

// contentBox is the box of use 2 for one recipient: K || SHA-256(sealed).
export function contentBox(own, otherPublic, key, sealed, nonce) {
  return box(own, otherPublic, USE_CONTENT, concat(key, sha256(sealed)), nonce)
}

// openContent gives the plaintext of the several-recipients form, or throws.
export function openContent(own, otherPublic, ownBox, sealed) {
  const payload = openBox(own, otherPublic, USE_CONTENT, ownBox)
  const key = payload.slice(0, 32)
  if (payload.length !== 64 || !equal(payload.slice(32), sha256(sealed))) throw new Error('hash')
  if (!equal(sealed.slice(0, 32), commit(key))) throw new Error('commit')
  return sodium.crypto_secretbox_open_easy(sealed.slice(56), sealed.slice(32, 56), key)
}

// paddedSize is 256, and Padmé from there.
export function paddedSize(size) {
  if (size <= 256) return 256
  const e = Math.floor(Math.log2(size))
  const s = Math.floor(Math.log2(e)) + 1
  const unit = 2 ** (e - s)
  return Math.ceil(size / unit) * unit
}

// pad is length(4) || message || signed(1) || signature if signed || zeros.
export function pad(message, signature = null, { length, flag, size, fill = 0 } = {}) {
  const head = new Uint8Array(4)
  new DataView(head.buffer).setUint32(0, length ?? message.length)
  const plain = concat(head, message, [flag ?? (signature ? 1 : 0)], signature ?? [])
  const padding = new Uint8Array((size ?? paddedSize(plain.length)) - plain.length).fill(fill)
  return concat(plain, padding)
}

// unpad gives message and signature.
export function unpad(plain) {
  const length = new DataView(plain.buffer, plain.byteOffset).getUint32(0)
  const message = plain.slice(4, 4 + length)
  const flag = plain[4 + length]
  return { message, signature: flag === 1 ? plain.slice(5 + length, 69 + length) : null }
}

export const sign = (own, domain, bytes) =>
  sodium.crypto_sign_detached(concat(text(domain + '\0'), bytes), own.privateKey)

export const ENVELOPE = 'claudemesh/v1/envelope'

// base32 is RFC 4648 in lower case without padding.
export function base32(bytes) {
  let bits = ''
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0')
  bits = bits.padEnd(Math.ceil(bits.length / 5) * 5, '0')
  return digits(bits)
}

// messageDigits are the 26 base32 digits of a 128-bit number.
export function messageDigits(bytes) {
  let bits = '00'
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0')
  return digits(bits)
}

function digits(bits) {
  let out = ''
  for (let i = 0; i < bits.length; i += 5) {
    out += 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(bits.slice(i, i + 5), 2)]
  }
  return out
}

// messageId is a UUIDv7.
export function messageId(ms, rand) {
  const id = new Uint8Array(16)
  new DataView(id.buffer).setBigUint64(0, BigInt(ms) << 16n)
  id.set(rand, 6)
  id[6] = (id[6] & 0x0f) | 0x70
  id[8] = (id[8] & 0x3f) | 0x80
  return id
}

const compare = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))

// safetyNumber is 60 digits, 30 a user.
export function safetyNumber(mesh, a, b) {
  const half = (keys) => {
    const sorted = [...keys].sort(compare).filter((key, i, all) => i === 0 || compare(key, all[i - 1]) !== 0)
    const sum = sha256(text('claudemesh/v1/safety\0'), mesh, ...sorted)
    const groups = []
    for (let i = 0; i < 6; i++) {
      let number = 0n
      for (const byte of sum.slice(5 * i, 5 * i + 5)) number = number << 8n | BigInt(byte)
      groups.push(String(number % 100000n).padStart(5, '0'))
    }
    return groups.join(' ')
  }
  return [half(a), half(b)].sort().join(' ')
}

// admitNumber is 16 digits.
export function admitNumber(mesh, key) {
  const sum = sha256(text('claudemesh/v1/admit\0'), mesh, key)
  const number = Buffer.from(sum).readBigUInt64BE(0) % 10n ** 16n
  return String(number).padStart(16, '0').match(/..../g).join(' ')
}

// fingerprint is the first 16 bytes of the hash of a broker's key.
export const fingerprint = (key) => sha256(text('claudemesh/v1/fingerprint\0'), key).slice(0, 16)
