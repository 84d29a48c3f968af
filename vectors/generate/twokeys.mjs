// One ciphertext of secretbox that opens under two keys. Poly1305 is a polynomial:
// with both keys known, one block can be computed so that both tags agree. Under the
// first key everything is a message that was chosen, but for 16 bytes in its body,
// which come out of the computation and have to be printable: one counter in some ten
// million does it, so the caller gives the one that a search found.

import { concat, sodium, text } from './forms.mjs'

const PRIME = 2n ** 130n - 5n
const mod = (a) => ((a % PRIME) + PRIME) % PRIME
const little = (bytes) => BigInt('0x' + Buffer.from(bytes).reverse().toString('hex'))
const bytes16 = (value) =>
  new Uint8Array(Buffer.from(value.toString(16).padStart(32, '0'), 'hex').reverse())

function invert(a) {
  let [r0, r1, t0, t1] = [PRIME, mod(a), 0n, 1n]
  while (r1 !== 0n) {
    const q = r0 / r1
    ;[r0, r1] = [r1, r0 - q * r1]
    ;[t0, t1] = [t1, t0 - q * t1]
  }
  return mod(t0)
}

// stream is the keystream of secretbox: 32 bytes for Poly1305, the rest for the text.
// secretbox of zeros gives all but the first 32 bytes; the Poly1305 key is found in
// crypto_stream, which the wrappers do not have, so it comes from XSalsa20 by hand.
function stream(key, nonce, size) {
  const sub = hsalsa20(key, nonce.slice(0, 16))
  const out = []
  for (let block = 0; out.length < size; block++) {
    const counter = new Uint8Array(8)
    new DataView(counter.buffer).setUint32(0, block, true)
    out.push(...salsa20(sub, concat(nonce.slice(16), counter), true))
  }
  return new Uint8Array(out.slice(0, size))
}

const words = (bytes) => new Uint32Array(new Uint8Array(bytes).buffer)
const SIGMA = words(text('expand 32-byte k'))

function core(key, input) {
  const k = words(key)
  const n = words(input)
  const start = [SIGMA[0], k[0], k[1], k[2], k[3], SIGMA[1], n[0], n[1], n[2], n[3],
    SIGMA[2], k[4], k[5], k[6], k[7], SIGMA[3]]
  const x = Uint32Array.from(start)
  const turn = (a, b, c, bits) => {
    const sum = (x[b] + x[c]) >>> 0
    x[a] ^= (sum << bits) | (sum >>> (32 - bits))
  }
  const quarter = (a, b, c, d) => {
    turn(b, a, d, 7)
    turn(c, b, a, 9)
    turn(d, c, b, 13)
    turn(a, d, c, 18)
  }
  for (let i = 0; i < 10; i++) {
    quarter(0, 4, 8, 12)
    quarter(5, 9, 13, 1)
    quarter(10, 14, 2, 6)
    quarter(15, 3, 7, 11)
    quarter(0, 1, 2, 3)
    quarter(5, 6, 7, 4)
    quarter(10, 11, 8, 9)
    quarter(15, 12, 13, 14)
  }
  return { start, x }
}

function salsa20(key, input) {
  const { start, x } = core(key, input)
  return new Uint8Array(Uint32Array.from(x, (value, i) => value + start[i]).buffer)
}

function hsalsa20(key, input) {
  const { x } = core(key, input)
  return new Uint8Array(Uint32Array.of(x[0], x[5], x[10], x[15], x[6], x[7], x[8], x[9]).buffer)
}

const CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffffn

// attack finds key, nonce and a ciphertext (tag before it) that opens under both keys.
// make(filler) gives the plaintext: 32 bytes of filler stand somewhere in it, on a
// block's border; the first 16 count up, the last 16 are computed.
export function attack(keyA, keyB, nonce, make, from = 0, tries = 1) {
  const probe = make('0'.repeat(16) + '@'.repeat(16))
  const place = Buffer.from(probe).indexOf('0'.repeat(16) + '@'.repeat(16))
  // secretbox authenticates the ciphertext, whose blocks start at the text's first byte.
  if (place < 0 || place % 16 !== 0) throw new Error('filler at ' + place)
  const blocks = Math.ceil(probe.length / 16)
  if (probe.length % 16 !== 0) throw new Error('not in blocks')
  const streams = [keyA, keyB].map((key) => stream(key, nonce, 32 + probe.length))
  const macs = streams.map((s) => ({ r: little(s.slice(0, 16)) & CLAMP, s: little(s.slice(16, 32)) }))
  const keystream = streams[0].slice(32)
  const cipher = probe.map((byte, i) => byte ^ keystream[i])
  const block = (i) => little(cipher.slice(16 * i, 16 * i + 16)) + 2n ** 128n
  const at = place / 16
  // Powers of r for each block: the first block has the highest.
  const powers = macs.map(({ r }) => {
    const list = [r]
    for (let i = 1; i < blocks; i++) list.push(mod(list[i - 1] * r))
    return list.reverse()
  })
  // sum of all blocks but the two of the filler.
  const sums = powers.map((list) => {
    let sum = 0n
    for (let i = 0; i < blocks; i++) if (i !== at && i !== at + 1) sum = mod(sum + block(i) * list[i])
    return sum
  })
  const inverse = invert(powers[0][at + 1] - powers[1][at + 1])
  const slope = mod((powers[1][at] - powers[0][at]) * inverse)
  const constants = [-2n, -1n, 0n, 1n, 2n].map((e) => ({
    e, c: mod((macs[1].s - macs[0].s + e * 2n ** 128n - sums[0] + sums[1]) * inverse) }))

  for (let n = from; n < from + tries; n++) {
    const counter = text(String(n).padStart(16, '0'))
    const value = little(counter.map((byte, i) => byte ^ keystream[place + i])) + 2n ** 128n
    const moving = mod(value * slope)
    for (const { e, c } of constants) {
      const wanted = mod(c + moving)
      if (wanted >> 128n !== 1n) continue
      const found = bytes16(wanted - 2n ** 128n)
      const plain = found.map((byte, i) => byte ^ keystream[place + 16 + i])
      if (!plain.every((byte) => byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c)) continue
      const tags = powers.map((list, i) => mod(sums[i] + value * list[at] + wanted * list[at + 1]))
      if (tags[0] - tags[1] !== macs[1].s - macs[0].s + e * 2n ** 128n) continue
      const whole = cipher.slice()
      whole.set(counter.map((byte, i) => byte ^ keystream[place + i]), place)
      whole.set(found, place + 16)
      const tag = bytes16((tags[0] + macs[0].s) & (2n ** 128n - 1n))
      const sealed = concat(tag, whole)
      // libsodium itself is the judge.
      const opened = sodium.crypto_secretbox_open_easy(sealed, nonce, keyA)
      sodium.crypto_secretbox_open_easy(sealed, nonce, keyB)
      return { n, sealed, opened }
    }
  }
  return null
}
