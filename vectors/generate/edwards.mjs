// Just enough arithmetic on edwards25519 to make keys and signatures that nobody
// should take. Slow, and secret from nobody.

import { concat, sha512 } from './forms.mjs'

export const P = 2n ** 255n - 19n
export const L = 2n ** 252n + 27742317777372353535851937790883648493n

const mod = (a, m = P) => ((a % m) + m) % m

function power(base, exponent) {
  let result = 1n
  for (base = mod(base); exponent > 0n; exponent >>= 1n, base = mod(base * base)) {
    if (exponent & 1n) result = mod(result * base)
  }
  return result
}

const invert = (a) => power(a, P - 2n)
const D = mod(-121665n * invert(121666n))
const I = power(2n, (P - 1n) / 4n)

// add adds two points {x, y}.
export function add(a, b) {
  const t = mod(D * a.x * b.x * a.y * b.y)
  return {
    x: mod((a.x * b.y + a.y * b.x) * invert(1n + t)),
    y: mod((a.y * b.y + a.x * b.x) * invert(1n - t)),
  }
}

// multiply gives k * point.
export function multiply(k, point) {
  let result = { x: 0n, y: 1n }
  for (; k > 0n; k >>= 1n, point = add(point, point)) {
    if (k & 1n) result = add(result, point)
  }
  return result
}

// fromY finds the point with this y and an x of the given lowest bit, or null.
export function fromY(y, sign) {
  const u = mod(y * y - 1n)
  const v = mod(D * y * y + 1n)
  const square = mod(u * invert(v))
  let x = power(square, (P + 3n) / 8n)
  if (mod(x * x) !== square) x = mod(x * I)
  if (mod(x * x) !== square) return null
  if ((x & 1n) !== BigInt(sign)) x = mod(-x)
  return { x, y }
}

export const BASE = fromY(mod(4n * invert(5n)), 0)

// number reads little-endian bytes.
export const number = (bytes) =>
  BigInt('0x' + Buffer.from(bytes).reverse().toString('hex'))

// bytes32 writes 32 little-endian bytes.
export function bytes32(value) {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(64, '0'), 'hex').reverse())
}

// encode writes a point; y and the sign may be given apart, to write it wrongly.
export const encode = (point) => encodeY(point.y, Number(point.x & 1n))
export const encodeY = (y, sign) => bytes32(y | (BigInt(sign) << 255n))

export const decode = (bytes) => fromY(number(bytes) & ((1n << 255n) - 1n), bytes[31] >> 7)

// smallOrder gives the eight points of order 1, 2, 4 and 8.
export function smallOrder() {
  for (let y = 2n; ; y++) {
    const point = fromY(y, 0)
    const torsion = point && multiply(L, point)
    if (!torsion || multiply(4n, torsion).y === 1n) continue // not of order 8
    return Array.from({ length: 8 }, (_, i) => multiply(BigInt(i), torsion))
  }
}

// scalarOf is the secret scalar of a seed.
export function scalarOf(seed) {
  const hash = sha512(seed).slice(0, 32)
  hash[0] &= 248
  hash[31] = (hash[31] & 127) | 64
  return number(hash)
}

// challenge is k = SHA-512(R || A || message) mod l.
export const challenge = (r, key, message) => number(sha512(r, key, message)) % L

// signWith makes a signature with any R bytes, any key bytes, and s = r + k * a.
export function signWith(rBytes, r, keyBytes, a, message) {
  const k = challenge(rBytes, keyBytes, message)
  return concat(rBytes, bytes32((r + k * a) % L))
}
