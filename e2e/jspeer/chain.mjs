// Entries and heads by themselves (CM-5.1 to CM-5.19), and a reader's chain.
import { b64, equal, hashOf, isZero, need, Refusal, refuse, un64, utf8, zero } from './bytes.mjs'
import { above0, boolean, bytes, count, distinct, integer, list, openly, optional, parse, record, signedObject, slug, some, strictly, string, word } from './json.mjs'
import { checkSignature, curve, sign, verify } from './keys.mjs'
import { Roster } from './roster.mjs'

const host = String.raw`(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])`
const urlPattern = new RegExp(`^(?:https?://${host}(?::([1-9][0-9]{0,4}))?|unix:)$`)

export function isURL(text) { // CM-5.5
  const match = text.length <= 256 && urlPattern.exec(text)
  return Boolean(match) && Number(match[1] ?? 1) <= 65535
}

const url = v => { need(typeof v === 'string' && isURL(v), 'no URL'); return v }
const urls = distinct(list(url, 1, 32))
const key = bytes(32)
const goodKey = v => { curve(key(v)); return v } // CM-5.6
const user = v => { need(!slug(v).startsWith('key-'), 'a name like a key'); return v } // CM-2.15
const kind = word('agent', 'gateway', 'bridge', 'web') // CM-5.4

const header = { mesh: bytes(16), n: count, prev: bytes(32), type: string(), by: bytes(32), time: above0 } // CM-5.1

const types = { // CM-5.3
  genesis: { name: slug, recovery: goodKey, broker: goodKey, urls, random: bytes(16) },
  broker: { urls },
  role: { key, rank: integer(1, 3) },
  invite: { key: goodKey, rank: integer(1, 2), user: v => v === '' ? v : user(v), expires: above0, uses: integer(1, 1_000_000), kinds: distinct(list(kind, 1)), approve: boolean },
  join: { user, device: slug, peer: goodKey, kind },
  admit: { peer: key },
  revoke: { keys: distinct(list(key, 1)) },
  heal: { broker: goodKey, urls },
}

const hashEntry = data => b64(hashOf('entry', data)) // CM-5.2

// readEntry says what an entry is by itself: its class is ok, void or unknown; one that
// is broken is refused (CM-5.8 to CM-5.12).
export function readEntry(object) {
  try {
    const data = un64(object.signed)
    need(data.length <= 4096, 'too large')
    const value = parse(data)
    const head = record(header)(value, true)
    const { entry, cls } = readBody(head, value)
    if (cls === 'ok') verify('entry', object, ...signers(entry))
    else firstSignature(object, data, head.by)
    return { ...entry, class: cls, hash: hashEntry(data), object }
  } catch (e) {
    if (!(e instanceof Refusal)) throw e
    refuse('broken', e.message)
  }
}

const signers = e => e.type === 'join' ? [e.by, e.peer] : [e.by] // CM-5.7

function firstSignature(object, data, by) { // CM-5.12
  const sig = un64(object.sig)
  need(sig.length > 0 && sig.length % 64 === 0, 'no signature')
  checkSignature('entry', data, sig.subarray(0, 64), by)
}

function readBody(head, value) {
  const fields = Object.hasOwn(types, head.type) ? types[head.type] : null
  const names = new Set([...Object.keys(header), ...Object.keys(fields ?? {})])
  if (!fields || [...value.keys()].some(name => !names.has(name))) return { entry: head, cls: 'unknown' } // CM-5.11
  try {
    const entry = { ...head, ...record(fields)(value, true) }
    checkBody(entry)
    return { entry, cls: 'ok' }
  } catch (e) {
    if (!(e instanceof Refusal)) throw e
    return { entry: head, cls: 'void' } // CM-5.10
  }
}

function checkBody(e) {
  need((e.type === 'genesis') === (e.n === 0), 'a genesis and place 0 belong together')
  if (e.type === 'genesis') {
    need(isZero(e.mesh) && isZero(e.prev), 'a genesis after something')
    need(new Set([curve(e.by) && e.by, e.recovery, e.broker]).size === 3, 'keys that do not differ')
  }
  if (e.type === 'role' && e.rank === 3) curve(e.key)
  if (e.type === 'invite') need(e.user === '' || e.rank === 1, 'an invite of a user that gives a rank') // CM-5.3
}

// makeEntry signs an entry on top of a chain (CM-5.58).
export function makeEntry(fields, ...keys) {
  return sign('entry', utf8(JSON.stringify(fields)), ...keys)
}

const headFields = record({ mesh: some(16), chain: bytes(32), n: count, hash: some(32), time: above0, life: above0 })

// readHead reads a head by the broker that must have signed it (CM-5.15, CM-5.16).
export function readHead(object, broker) {
  try {
    need(un64(object.signed).length <= 512, 'too large')
    const head = strictly(headFields, verify('head', object, broker))
    need(isZero(head.chain), 'a head of another chain')
    return head
  } catch (e) {
    if (!(e instanceof Refusal)) throw e
    refuse('broken', e.message)
  }
}

// Chain is what a reader holds: entries in order, each verified, under the newest head.
export class Chain {
  constructor(mesh) {
    this.mesh = mesh
    this.entries = []
    this.objects = []
    this.head = null
    this.headObject = null
    this.roster = new Roster()
  }

  // at is the chain's end as others name it (CM-5.19).
  get at() {
    const last = this.entries.at(-1)
    return last ? placeOf(last) : { n: 0, hash: zero(16) }
  }

  get life() { return this.head?.life ?? 0 }

  // stands says what a place is for this reader (CM-5.52).
  stands(at) {
    if (isZero(at.hash)) return 'part'
    if (at.n >= this.entries.length) return 'ahead'
    return placeOf(this.entries[at.n]).hash === at.hash ? 'part' : 'other'
  }

  // take takes a page of entries that joins on to the end, under a head at its last
  // entry; of a page with a broken entry nothing is taken (CM-5.8, CM-5.17, CM-5.41).
  take(from, objects, headObject) {
    need(from <= this.entries.length, 'a page behind the end') // CM-5.43
    const held = this.entries.slice(from)
    const roster = this.roster.clone()
    const added = []
    let last = this.entries[from - 1]
    for (const [i, object] of objects.entries()) {
      const e = readEntry(object)
      this.#fits(e, from + i, last)
      last = e
      if (i < held.length) {
        if (e.hash !== held[i].hash) refuse('fork', 'the broker holds another order') // CM-5.48
        continue
      }
      roster.apply(e)
      added.push(e)
    }
    const head = readHead(headObject, roster.broker)
    need(head.mesh === this.mesh && last && head.n === last.n && head.hash === last.hash, 'the head stands elsewhere')
    if (last.n < this.entries.length - 1) return // CM-5.42: it changes nothing
    this.entries.push(...added)
    this.objects.push(...added.map(e => e.object))
    this.head = head
    this.headObject = headObject
    this.roster = roster
  }

  #fits(e, n, last) {
    need(e.n === n && e.prev === (last?.hash ?? zero(32)), 'an entry out of its place') // CM-5.8
    if (n === 0) { // CM-5.9
      need(e.class === 'ok' && b64(un64(e.hash).subarray(0, 16)) === this.mesh, 'the genesis of another mesh')
    } else {
      need(e.mesh === this.mesh || e.type === 'genesis', 'an entry of another mesh')
    }
  }
}

export const placeOf = e => ({ n: e.n, hash: b64(un64(e.hash).subarray(0, 16)) })

const forkFields = record({ lower: signedObject, upper: signedObject, entries: optional(list(signedObject), []) })

// isFork tells whether a proof holds that a broker signed two orders (CM-5.47).
export function isFork(proof, broker) {
  try {
    const { lower: a, upper: b, entries } = openly(forkFields, utf8(JSON.stringify(proof)))
    const [lower, upper] = [readHead(a, broker), readHead(b, broker)]
    const read = entries.map(readEntry)
    if (lower.mesh !== upper.mesh || lower.life !== upper.life || upper.n - lower.n !== read.length) return false
    if (read.length === 0) return lower.hash !== upper.hash
    return read[0].prev !== lower.hash && read.at(-1).hash === upper.hash &&
      read.every((e, i) => e.n === lower.n + 1 + i && (i === 0 || e.prev === read[i - 1].hash))
  } catch (e) {
    if (!(e instanceof Refusal)) throw e
    return false
  }
}
