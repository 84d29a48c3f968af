// The form of a message (CM-4.9 to CM-4.14, CM-4.34, CM-4.38).
import { need, refuse } from './bytes.mjs'
import { above0, boolean, bytes, code, count, distinct, integer, list, openly, optional, place, record, signedObject, slug, some, string, word } from './json.mjs'

const day = 86_400_000
const shown = ['message', 'ask', 'answer', 'decline', 'notice']
const oneLine = /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/ // CM-4.12

const audience = record({ // CM-4.14
  address: optional(string(256, oneLine), ''),
  keys: optional(distinct(list(bytes(32), 0, 256)), []),
  count: optional(count, 0),
  session: optional(bytes(16), ''),
  one: optional(boolean, false),
})

const receipt = record({ id: some(16), hash: some(32), state: word('seen', 'held', 'refused'), why: optional(code, '') })

const entries = record({
  from: count,
  ask: optional(boolean, false),
  entries: optional(list(signedObject), []),
  heads: optional(list(signedObject), []),
})

const message = record({
  id: some(16), mesh: some(16), from: some(32), session: some(16),
  label: optional(v => v === '' ? v : slug(v), ''),
  audience,
  seq: optional(count, 0),
  kind: optional(string(), ''),
  reply_to: optional(bytes(16), ''),
  thread: optional(bytes(16), ''),
  depth: optional(integer(0, 65536), 0),
  priority: word('now', 'next', 'low'),
  time: integer(1, Number.MAX_SAFE_INTEGER - 30 * day),
  expires: above0,
  at: record({ n: count, hash: some(16) }),
  via: optional(list(string(128, /./s), 0, 8), []),
  body: optional(string(1_048_576), ''),
  receipts: optional(list(receipt, 0, 16), []),
  roster: optional(entries, null),
})

// readMessage reads a message, or refuses it as malformed or unknown_kind (CM-4.11).
export function readMessage(data) {
  need(data.length <= 1_572_864, 'too large')
  const m = openly(message, data)
  if (![...shown, 'receipt', 'roster'].includes(m.kind)) refuse('unknown_kind')
  need(m.kind !== 'roster' || data.length <= 262_144, 'too large')
  need(m.expires > m.time && m.expires <= m.time + 30 * day, 'expiry')
  need(m.via.every(station => oneLine.test(station)), 'via')
  checkAudience(m.audience)
  checkKind(m)
  return m
}

function checkAudience(a) {
  need((a.keys.length > 0) !== (a.count > 0), 'keys or count, and not both')
  need(a.count === 0 || a.count >= 257 && a.count <= 1024, 'count')
  need(!a.session || a.keys.length === 1, 'a session among several')
}

function checkKind(m) { // CM-4.10
  const isShown = shown.includes(m.kind)
  need(isShown ? m.seq > 0 : m.seq === 0 && m.body === '', 'seq or body')
  need(m.reply_to || m.kind !== 'answer' && m.kind !== 'decline', 'no reply_to')
  need((m.receipts.length > 0) === (m.kind === 'receipt'), 'receipts')
  need((m.roster !== null) === (m.kind === 'roster'), 'roster')
  need(m.receipts.every(r => r.why === '' || r.state === 'refused'), 'why without refusal')
  if (m.roster) need(m.roster.ask !== m.roster.entries.length + m.roster.heads.length > 0, 'asks or brings')
}
