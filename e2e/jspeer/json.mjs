// JSON as the protocol reads it (CM-1.7 to CM-1.13): a parser that gives objects as
// Maps, and readers that hold a value to its fields in strict or in open form.
import { isZero, need, un64, utf8 } from './bytes.mjs'

const maxDepth = 16 // CM-1.11

export function parse(bytes) {
  let text
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    need(false, 'not UTF-8') // CM-1.7
  }
  let at = 0
  const take = pattern => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    need(match, `no JSON at ${at}`)
    at += match[0].length
    return match[0]
  }
  const space = () => take(/[ \t\n\r]*/y)
  const next = () => { space(); return text[at] }
  function string() {
    // A control character is refused where it is written out (CM-1.10).
    const value = JSON.parse(take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y))
    need(value.isWellFormed(), 'half a surrogate pair')
    return value
  }
  function members(close, member) {
    at++
    if (next() === close) { at++; return }
    for (;;) {
      member()
      if (next() === close) { at++; return }
      take(/,/y)
    }
  }
  function value(depth) {
    const first = next()
    if (first === '{') {
      need(depth <= maxDepth, 'too deep')
      const object = new Map()
      members('}', () => {
        space()
        const name = string()
        need(!object.has(name), `${name} stands twice`) // CM-1.8
        space()
        take(/:/y)
        object.set(name, value(depth + 1))
      })
      foldedOnce([...object.keys()])
      return object
    }
    if (first === '[') {
      need(depth <= maxDepth, 'too deep')
      const list = []
      members(']', () => list.push(value(depth + 1)))
      return list
    }
    if (first === '"') return string()
    const word = take(/true|false|null|-?(?:0|[1-9][0-9]*)(?![0-9.eE])/y)
    if (word === 'true' || word === 'false') return word === 'true'
    if (word === 'null') return null
    need(word !== '-0' && Number.isSafeInteger(Number(word)), `the number ${word}`) // CM-1.9
    return Number(word)
  }
  const all = value(1)
  space()
  need(at === text.length, 'something behind the value')
  return all
}

// alike tells whether two names are equal but for case (CM-1.8). A regular expression
// of the flags i and u compares by simple case folding, as the protocol does.
const alike = (a, b) => new RegExp(`^${a.replace(/[\\^$.*+?()[\]{}|\/]/g, '\\$&')}$`, 'iu').test(b)

function foldedOnce(names) {
  const ascii = new Set()
  const others = []
  for (const name of names) {
    if (!/^[\x00-\x7f]*$/.test(name)) { others.push(name); continue }
    const folded = name.toLowerCase()
    need(!ascii.has(folded), `${name} stands twice but for case`)
    ascii.add(folded)
  }
  for (const [i, name] of others.entries()) {
    need(![...ascii, ...others.slice(0, i)].some(other => alike(name, other)), `${name} stands twice but for case`)
  }
}

// A reader takes a value and whether it is read in open form, and gives it checked.
// One of an optional field has what the field is where it is left out (CM-1.6).
export const optional = (reader, absent) => Object.assign((v, open) => reader(v, open), { absent, isOptional: true })

export const integer = (least = -Infinity, most = Infinity) => v => {
  need(Number.isInteger(v) && v >= least && v <= most, 'no such integer')
  return v
}
export const count = integer(0)
export const above0 = integer(1)

export const string = (most = Infinity, pattern = /^/) => v => {
  need(typeof v === 'string' && utf8(v).length <= most && pattern.test(v), 'no such string')
  return v
}
export const word = (...words) => v => { need(words.includes(v), `no word of ${words}`); return v }
export const boolean = v => { need(typeof v === 'boolean', 'no boolean'); return v }

// bytes reads a binary value of a fixed size, or of any, and gives its text, by which
// keys, hashes and ids are compared.
export const bytes = size => v => {
  need(typeof v === 'string', 'no bytes')
  const { length } = un64(v)
  need(size === undefined || length === size, `not ${size} bytes`) // CM-1.12
  return v
}
export const some = size => v => { need(!isZero(bytes(size)(v)), 'zero bytes'); return v }

export const list = (reader, least = 0, most = Infinity) => (v, open) => {
  need(Array.isArray(v) && v.length >= least && v.length <= most, 'no such list')
  return v.map(element => reader(element, open))
}
export const distinct = reader => (v, open) => {
  const out = reader(v, open)
  need(new Set(out).size === out.length, 'one stands twice')
  return out
}

// record reads an object of these fields.
export const record = fields => (v, open) => {
  need(v instanceof Map, 'no object')
  for (const name of v.keys()) {
    if (Object.hasOwn(fields, name)) continue
    need(open, `${name} is unknown`) // CM-3.7
    need(!Object.keys(fields).some(known => alike(known, name)), `${name} is a known name in another case`) // CM-1.13
  }
  const out = {}
  for (const [name, reader] of Object.entries(fields)) {
    const value = v.get(name)
    need(value !== null || open, `${name} is null`) // CM-3.7
    if (value === undefined || value === null) {
      need(reader.isOptional, `${name} is missing`)
      out[name] = reader.absent
    } else {
      out[name] = reader(value, open)
    }
  }
  return out
}

export const strictly = (reader, data) => reader(parse(data), false)
export const openly = (reader, data) => reader(parse(data), true)
export const strict = reader => v => reader(v, false)

// Forms that stand in many places.
export const slug = string(32, /^[a-z0-9][a-z0-9._-]*$/) // CM-2.14
export const code = string(32, /^[a-z0-9_]+$/) // CM-7.8
export const filled = v => { need(bytes()(v) !== '', 'no bytes'); return v }
export const signedObject = strict(record({ signed: filled, sig: filled })) // CM-3.1
export const place = record({ n: count, hash: bytes(16) }) // CM-5.19
