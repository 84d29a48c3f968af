// Encodings and hashes (CM-1, CM-3).
import crypto from 'node:crypto'

// Refusal says why something is not taken. class is an outcome of the vectors (CM-10.9).
export class Refusal extends Error {
  constructor(cls, message) {
    super(message ?? cls)
    this.class = cls
  }
}

export const refuse = (cls, message) => { throw new Refusal(cls, message) }
export const need = (holds, message) => { if (!holds) refuse('malformed', message) }

export const utf8 = text => new TextEncoder().encode(text)
export const concat = (...parts) => new Uint8Array(Buffer.concat(parts.map(part => Uint8Array.from(part))))
export const equal = (a, b) => Buffer.compare(a, b) === 0
export const random = size => new Uint8Array(crypto.randomBytes(size))

export const b64 = bytes => Buffer.from(bytes).toString('base64url') // CM-1.4

export function un64(text) {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'))
  need(b64(bytes) === text, 'not the one base64url text of a value') // CM-1.4
  return bytes
}

export const zero = size => b64(new Uint8Array(size)) // CM-1.6
export const isZero = text => /^A*$/.test(text)

export function base32(bytes) { // CM-1.5
  const bits = [...bytes].map(b => b.toString(2).padStart(8, '0')).join('')
  return digits32(bits.padEnd(Math.ceil(bits.length / 5) * 5, '0'))
}

export function number32(bytes) { // CM-2.12: the digits of a number, not of bytes
  const bits = [...bytes].map(b => b.toString(2).padStart(8, '0')).join('')
  return digits32(bits.padStart(Math.ceil(bits.length / 5) * 5, '0'))
}

const digits32 = bits => bits.match(/.{5}/g).map(d => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(d, 2)]).join('')

export const sha256 = (...parts) => new Uint8Array(crypto.createHash('sha256').update(concat(...parts)).digest())

// under is what a signature and a hash are over (CM-3.2, CM-3.6).
export const under = (domain, ...parts) => concat(utf8('claudemesh/v1/' + domain), [0], ...parts)
export const hashOf = (domain, ...parts) => sha256(under(domain, ...parts))
