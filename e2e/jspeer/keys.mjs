// Keys, signatures and what people see of them (CM-2, CM-3). A public key and an id
// are texts of base64url everywhere but here.
import sodium from 'libsodium-wrappers'
import { b64, base32, concat, hashOf, number32, random, refuse, un64, under } from './bytes.mjs'

await sodium.ready

const p = 2n ** 255n - 19n
const good = new Map() // public keys that were checked, with their X25519 form

// newKey makes the key of a seed (CM-2.5).
export function newKey(seed = random(32)) {
  const { publicKey, privateKey } = sodium.crypto_sign_seed_keypair(seed)
  return { seed, private: privateKey, public: b64(publicKey) }
}

// curve checks a public key and gives its X25519 form (CM-2.6). libsodium refuses what
// is no point or not in the prime-order group (CM-2.3), but takes a y that is not below
// p, which CM-2.2 forbids; an x of 0 has order 1 or 2 anyway.
export function curve(key) {
  if (!good.has(key)) {
    const bytes = un64(key)
    const y = BigInt('0x' + Buffer.from(bytes).reverse().toString('hex')) & (1n << 255n) - 1n
    if (bytes.length !== 32 || y >= p) refuse('bad_key')
    try {
      good.set(key, sodium.crypto_sign_ed25519_pk_to_curve25519(bytes))
    } catch {
      refuse('bad_key')
    }
  }
  return good.get(key)
}

export const curvePrivate = key => sodium.crypto_sign_ed25519_sk_to_curve25519(key.private) // CM-2.7

// shared is the key that two peers share (CM-4.1).
export const shared = (own, other) => sodium.crypto_box_beforenm(curve(other), curvePrivate(own))

export function isGood(key) {
  try {
    curve(key)
    return true
  } catch {
    return false
  }
}

export const signature = (domain, bytes, key) => sodium.crypto_sign_detached(under(domain, bytes), key.private)

// checkSignature is the one rule of CM-3.4: the key's check, and libsodium's own, which
// is without the cofactor and refuses an R of small order.
export function checkSignature(domain, bytes, sig, key) {
  curve(key)
  if (sig.length !== 64 || !sodium.crypto_sign_verify_detached(sig, under(domain, bytes), un64(key))) refuse('bad_signature')
}

// sign makes a signed object (CM-3.1).
export const sign = (domain, bytes, ...signers) =>
  ({ signed: b64(bytes), sig: b64(concat(...signers.map(key => signature(domain, bytes, key)))) })

// verify checks an object's signatures, exactly these (CM-3.3), and gives its bytes.
export function verify(domain, object, ...keys) {
  const bytes = un64(object.signed)
  const sig = un64(object.sig)
  if (sig.length !== 64 * keys.length) refuse('bad_signature')
  keys.forEach((key, i) => checkSignature(domain, bytes, sig.subarray(64 * i, 64 * i + 64), key))
  return bytes
}

export const keyText = key => 'key-' + base32(un64(key)) // CM-2.1
export const fingerprint = key => b64(hashOf('fingerprint', un64(key)).subarray(0, 16)) // CM-2.13
export const inviteName = (key, n) => 'i-' + base32(un64(key)).slice(0, n) // CM-2.19
export const messageText = id => 'm-' + number32(un64(id)) // CM-2.12

// newMessageID makes a UUIDv7 (CM-2.11).
export function newMessageID(ms = Date.now(), bits = random(10)) {
  const id = Buffer.concat([Buffer.alloc(6), bits])
  id.writeUIntBE(ms, 0, 6)
  id[6] = id[6] & 0x0f | 0x70
  id[8] = id[8] & 0x3f | 0x80
  return b64(id)
}

// safetyNumber is what two users compare (CM-2.18).
export function safetyNumber(mesh, a, b) {
  const half = keys => {
    const sorted = [...new Set(keys)].map(un64).sort(Buffer.compare)
    const bytes = hashOf('safety', un64(mesh), ...sorted)
    return [0, 5, 10, 15, 20, 25].map(i => String(Buffer.from(bytes).readUIntBE(i, 5) % 100000).padStart(5, '0')).join(' ')
  }
  return [half(a), half(b)].sort().join(' ')
}

export function admitNumber(mesh, key) { // CM-9.11
  const bytes = Buffer.from(hashOf('admit', un64(mesh), un64(key)))
  return (bytes.readBigUInt64BE() % 10n ** 16n).toString().padStart(16, '0').match(/.{4}/g).join(' ')
}
