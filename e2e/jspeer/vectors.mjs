// Runs over the golden vectors: `node vectors.mjs [FOLDER]`. Each must come to the class
// that its file gives (CM-10.9); what does not is printed, and the exit status is 1.
import fs from 'node:fs'
import path from 'node:path'
import { readAddress } from './address.mjs'
import { b64, base32, hashOf, need, Refusal, un64 } from './bytes.mjs'
import { isFork, readEntry, readHead } from './chain.mjs'
import { frames, readFrame, welcomeFields } from './connection.mjs'
import { above0, boolean, bytes, code, count, integer, list, openly, optional, place, record, slug, some, strictly, string, word } from './json.mjs'
import { admitNumber, checkSignature, curve, curvePrivate, fingerprint, inviteName, keyText, messageText, newKey, newMessageID, safetyNumber } from './keys.mjs'
import { readLink } from './link.mjs'
import { readMessage } from './message.mjs'
import { Roster } from './roster.mjs'
import { open, primitives } from './seal.mjs'

const folder = process.argv[2] ?? path.join(import.meta.dirname, '../../vectors')
const counts = {}
let wrong = 0

function same(file, name, is, want) {
  counts[file] = (counts[file] ?? 0) + 1
  const [a, b] = [JSON.stringify(is), JSON.stringify(want)]
  if (a === b) return
  wrong++
  console.log(`${file}: ${name}: ${a} instead of ${b}`)
}

// outcome is the class of what a reader says: ok, or that of its refusal.
function outcome(read) {
  try {
    read()
    return 'ok'
  } catch (e) {
    if (e instanceof Refusal) return e.class
    throw e
  }
}

const jsonFields = record({
  role: optional(string()), n: optional(integer()), k: optional(integer()), list: optional(list(integer())),
  inner: optional(record({ flag: optional(boolean) })),
})

function opens(v) {
  const frame = { from: v.sender, id: v.id, isReceipt: v.receipt, box: v.sealed === undefined ? undefined : un64(v.box) }
  const { data } = open(newKey(un64(v.own_seed)), v.mesh, frame, un64(v.sealed ?? v.box), v.stranger)
  if (b64(data) !== v.message) throw new Error(`${v.name}: another message`)
}

// What this peer only signs, and others read (CM-7.18, CM-7.42).
const label = v => v === '' ? v : slug(v)
const helloFields = record({
  mesh: some(16), peer: some(32), session: some(16), label: optional(label), client: optional(string(512)),
  receives: optional(word('none', 'replies', 'drain', 'live')), origin: string(512), at: optional(place), life: optional(count),
  nonce: bytes(32), broker: some(32),
})
const cardFields = record({
  mesh: some(16), peer: some(32), session: optional(bytes(16), ''), counter: above0, time: above0, at: place,
  label: optional(label, ''), status: optional(v => v === '' ? v : code(v), ''), tags: optional(list(slug, 0, 16), []), keys: optional(list(bytes()), []),
})

const readHello = data => strictly(helloFields, data)
const readWelcome = data => strictly(welcomeFields, data)

function readCard(data) {
  const c = strictly(cardFields, data)
  const ofSession = /[^A]/.test(c.session)
  need(ofSession ? c.tags.length + c.keys.length === 0 : c.label + c.status === '', 'what belongs to the other card')
  need(c.tags.every((tag, i) => i === 0 || c.tags[i - 1] < tag), 'tags are sorted, none twice')
}

// signs gives a runner over what one kind of frame signs.
const signs = (domain, read) => v => [outcome(() => {
  const data = un64(v.object.signed)
  read(data)
  checkSignature(domain, data, un64(v.object.sig), v.key)
}), v.outcome]

// frame tells what becomes of a frame. What only a broker reads, or this peer has no use
// for, it ignores; for what is too large it has no close code of its own.
function frame(v) {
  const data = Buffer.from(un64(v.message))
  let taken
  const read = outcome(() => { taken = readFrame(data, v.binary) })
  const type = /^\s*\{.*?"type"\s*:\s*"(\w+)"/.exec(v.object)?.[1]
  const ignored = v.outcome === 'unknown_type' || !Object.hasOwn(frames, type) && read === 'ok'
  return [[read, Boolean(taken)], ignored ? ['ok', false] : [v.outcome === 'too_large' ? 'malformed' : v.outcome, v.outcome === 'ok']]
}

const sorted = members => members.map(m => [m.key, m.user, m.device, m.rank].join(' ')).sort()

const runners = {
  'keys.json': v => {
    const own = v.seed ? newKey(un64(v.seed)) : null
    const made = v.outcome !== 'ok' ? null : [own.public, b64(curvePrivate(own)), b64(curve(v.ed25519)), keyText(v.ed25519)]
    return [[outcome(() => curve(v.ed25519)), made], [v.outcome, made && [v.ed25519, v.x25519_private, v.x25519_public, v.text]]]
  },
  'signatures.json': v => [outcome(() => {
    const domain = v.domain.replace(/^claudemesh\/v1\//, '')
    checkSignature(domain, un64(v.bytes), un64(v.sig), v.key)
  }), v.outcome],
  'direct.json': v => [outcome(() => opens(v)), v.outcome],
  'group.json': v => [outcome(() => opens(v)), v.outcome],
  'message.json': v => [outcome(() => readMessage(un64(v.message))), v.outcome],
  'json.json': v => [[strictly, openly].map(form => outcome(() => form(jsonFields, un64(v.json)))), [v.strict, v.open]],
  'frames.json': frame,
  'hellos.json': signs('hello', readHello),
  'welcomes.json': signs('welcome', readWelcome),
  'cards.json': signs('card', readCard),
  'addresses.json': v => {
    let names = {}
    const read = outcome(() => { names = readAddress(v.text) })
    const parts = a => ['mesh', 'user', 'device', 'label', 'tag', 'channel', 'key', 'all', 'canonical'].map(part => a[part] || '')
    return [[read, parts(names)], [v.outcome, parts(v)]]
  },
  'chain/entries.json': v => {
    let entry = { hash: v.hash }
    const read = outcome(() => { entry = readEntry(v.object) })
    return [[read === 'ok' ? entry.class : read, entry.hash], [v.outcome, v.hash]]
  },
  'chain/heads.json': v => [outcome(() => readHead(v.object, v.broker)), v.outcome],
  'chain/forks.json': v => [isFork(v.fork, v.broker) ? 'proof' : 'none', v.outcome],
  'chain/links.json': v => {
    let link
    const read = outcome(() => { link = readLink(v.link) })
    return [[read, link && [link.url, link.mesh, link.broker, b64(link.seed)]], [v.outcome, v.outcome === 'ok' ? [v.url, v.mesh, v.broker, v.seed] : undefined]]
  },
  'chain/rosters.json': v => {
    const roster = new Roster()
    const counted = v.entries.map(object => roster.apply(readEntry(object)))
    return [[counted, sorted(roster.members()), sorted(roster.waiting()), roster.owners().sort(), roster.broker],
      [v.why.map(why => why === ''), sorted(v.members), sorted(v.waiting), [...v.owners].sort(), v.broker]]
  },
}

const read = file => JSON.parse(fs.readFileSync(path.join(folder, file)))

for (const [file, run] of Object.entries(runners)) {
  for (const v of read(file).vectors) same(file, v.name, ...run(v))
}

const box = read('box.json')
for (const v of box.box) same('box.json', v.name, [b64(primitives.shared(v.private, v.public)), b64(primitives.box(v))], [v.shared, v.box])
for (const v of box.secretbox) same('box.json', v.name, [b64(hashOf('commit', un64(v.key))), b64(primitives.secretbox(v))], [v.commit, v.box])

const numbers = read('numbers.json')
for (const v of numbers.safety) same('numbers.json', v.name, safetyNumber(v.mesh, v.a, v.b), v.number)
for (const v of numbers.admit) same('numbers.json', 'admit', admitNumber(v.mesh, v.key), v.number)
for (const v of numbers.message_ids) {
  const id = newMessageID(v.ms, un64(v.random))
  same('numbers.json', v.text, [id, messageText(id), 'm-' + messageText(id).slice(-4)], [v.id, v.text, v.tail4])
}
for (const v of numbers.mesh_ids) same('numbers.json', v.text, base32(un64(v.id)), v.text)
for (const v of numbers.fingerprints) same('numbers.json', v.text, [fingerprint(v.key), base32(un64(fingerprint(v.key)))], [v.fingerprint, v.text])
for (const v of numbers.invites) same('numbers.json', v.text, inviteName(v.key, v.n), v.text)

for (const [file, count] of Object.entries(counts)) console.log(`${file} ${count}`)
process.exitCode = wrong === 0 ? 0 : 1
