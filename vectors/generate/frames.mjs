// Vectors about frames as they cross the wire, one WebSocket message each.

import { b64, concat, text } from './forms.mjs'

const bytes = (value, size) => new Uint8Array(size).fill(value)
const ID = 'AZChssPUfl-KAQIDBAUGAQ'
const ID2 = 'AZChssPUfl-KAQIDBAUGAg'
const A = b64(bytes(0x11, 32)) // keys of one value, not keys that anybody could use
const B = b64(bytes(0x22, 32))
const SESSION = b64(bytes(0x44, 16))
const NONCE = b64(bytes(0x55, 32))
const BOX = b64(bytes(0x66, 113))
const SIG = b64(bytes(7, 64))
const OBJECT = { signed: b64(text('{"}')), sig: SIG } // whoever carries it does not read it
const TIME = 1795000000000
const SENT = 1794000000000

const send = { type: 'send', id: ID, class: 'message', to: A, session: SESSION, priority: 'now', expires: TIME }
const several = { type: 'send', id: ID, class: 'message', priority: 'next', expires: 1 }
const deliver = { type: 'deliver', id: ID, class: 'message', from: B, session: SESSION, priority: 'now', expires: TIME, sent: SENT, attempt: 1 }
const brief = { type: 'deliver', id: ID, class: 'message', from: B, priority: 'next', expires: 1, sent: 1, attempt: 1 }
const ack = { type: 'ack', state: 'delivered', to: A, ids: [ID, ID2] }
const receipt = { type: 'receipt', state: 'received', from: B, ids: [ID, ID2] }
const append = { type: 'append', id: 2, entries: [OBJECT] }
const entries = { type: 'entries', re: 1, from: 7, entries: [OBJECT], head: OBJECT, more: true }
const welcome = {
  type: 'welcome', signed: OBJECT.signed, sig: SIG, head: OBJECT, missing: 2, present: 3, queued: 4,
  limits: { in_flight: 1024, body: 1048576, frame: 2097152, recipients: 1024, waiting: 10000 },
  features: ['x'], time: TIME, heartbeat: 30,
}
const trace = { type: 'trace', id: 4, message: ID }
const extras = { scheme: 1, sealed: 'AQID' }
const state = { to: A, state: 'queued', time: SENT }
const member = {
  key: A, connected: true, since: SENT, card: OBJECT,
  sessions: [{ id: SESSION, since: SENT + 1, card: OBJECT, extras: { ...extras, box: BOX } }],
}

// change gives an object with some fields changed; one that is undefined is left out.
const change = (object, changes) => JSON.parse(JSON.stringify({ ...object, ...changes }))

// binary is length(4) || object || payload.
function binary(object, payload) {
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, object.length)
  return concat(length, object, payload)
}

export function frameVectors() {
  const vectors = []
  // put adds a frame: its object or the text of it, and its payload if it has one.
  const put = (outcome, name, frame, payload) => {
    const object = typeof frame === 'string' ? frame : JSON.stringify(frame)
    const message = payload ? binary(text(object), payload) : text(object)
    vectors.push({ name, object, binary: Boolean(payload), message: b64(message), outcome })
  }
  asWritten(put)
  otherForms(put)
  badJSON(put)
  badMessages(put)
  badRest(put)
  return {
    about: 'Frames (CM-7): a WebSocket message, and ok or the code of its refusal. object is what a text message holds, ' +
      'or a binary one in front of its payload, to read. A name "a~b" is another form of frame "a" and means the same; ' +
      'those without "~" that are ok are in the order of fields in which this implementation writes.',
    vectors,
  }
}

function asWritten(put) {
  const ok = (name, frame, payload) => put('ok', name, frame, payload)
  ok('challenge', { type: 'challenge', broker: A, nonce: NONCE })
  ok('hello', { type: 'hello', signed: OBJECT.signed, sig: SIG })
  ok('welcome', welcome)
  ok('sync', { type: 'sync', id: 1, from: 7, limit: 100 })
  ok('sync-chain', { type: 'sync', id: 1, chain: NONCE, from: 0 })
  ok('append', append)
  ok('entries', entries)
  ok('entries-pushed', { type: 'entries', from: 7, entries: [OBJECT], head: OBJECT })
  ok('appended', { type: 'entries', re: 2, appended: true, from: 8, head: OBJECT })
  ok('send', send, [1, 2, 3])
  ok('send-plain', { type: 'send', id: ID, class: 'receipt', to: A, priority: 'next', expires: 1 }, [1])
  ok('send-empty', { type: 'send', id: ID, class: 'message', to: A, priority: 'low', expires: Number.MAX_SAFE_INTEGER }, [])
  ok('send-several', { ...several, expires: TIME, recipients: [{ key: A, session: SESSION, box: BOX }, { key: B, box: BOX }], one: true }, [1, 2])
  ok('ack', ack)
  ok('ack-refused', { type: 'ack', state: 'refused', why: 'queue_full', to: A, ids: [ID] })
  ok('ack-future-why', { type: 'ack', state: 'expired', why: 'some_new_reason', to: A, ids: [ID] })
  ok('deliver', deliver, [1, 2, 3])
  ok('deliver-box', { type: 'deliver', id: ID, class: 'message', from: B, box: BOX, priority: 'next', expires: TIME, sent: SENT, attempt: 12, claim: true }, [1, 2, 3])
  ok('receipt', receipt)
  ok('receipt-claim', { type: 'receipt', state: 'claim', from: B, ids: [ID] })
  ok('receipt-refused', { type: 'receipt', state: 'refused', why: 'not_member', from: B, ids: [ID] })
  ok('grant', { type: 'grant', granted: true, from: B, ids: [ID] })
  ok('taken', { type: 'grant', granted: false, from: B, ids: [ID] })
  ok('presence-own', {
    type: 'presence', cards: [OBJECT], extras: { ...extras, boxes: [{ key: A, box: BOX }] },
    pid: 4711, cwd: '/home/alice/web', host: 'laptop', client: 'claudemesh/0.1.0',
  })
  ok('presence-page', { type: 'presence', re: 3, peers: [member, { key: B, connected: false, since: 0 }], more: true })
  ok('subscribe', { type: 'subscribe', id: 3 })
  ok('trace-question', trace)
  ok('trace-answer', { type: 'trace', re: 4, message: ID, states: [state, { to: B, state: 'refused', why: 'muted', time: SENT + 1 }] })
  ok('ping', { type: 'ping', n: 0 })
  ok('pong', { type: 'pong', n: 9 })
  ok('drain', { type: 'drain', within: 10000 })
  ok('error', { type: 'error', code: 'rate', message: 'too many requests in a short time', re: 5, ids: [ID], retry_after: 1500 })
  ok('error-plain', { type: 'error', code: 'busy', message: 'später – <b>' })
}

function otherForms(put) {
  const ok = (name, frame, payload) => put('ok', name, frame, payload)
  ok('send~spaces', `{ "type" : "send" , "id":"${ID}",\t"class":"message","to":"${A}","session":"${SESSION}","priority":"now","expires": ${TIME} }`, [1, 2, 3])
  const { type, id, ...rest } = send
  ok('send~order', { expires: TIME, priority: 'now', session: SESSION, to: A, class: 'message', id, type }, [1, 2, 3])
  ok('send~flat-order', { type, expires: TIME, priority: 'now', session: SESSION, to: A, class: 'message', id }, [1, 2, 3])
  ok('send~unknown', { type, id, ...rest, x: { y: [1, null, true] }, z: '\0' }, [1, 2, 3])
  ok('send~escaped', JSON.stringify(send).replace('"AZCh', '"\\u0041ZCh').replace('message', 'mess\\u0061ge'), [1, 2, 3])
  ok('send~null', { ...send, recipients: null, one: null }, [1, 2, 3])
  ok('send-plain~defaults', { type: 'send', id: ID, class: 'receipt', to: A, expires: 1 }, [1])
  ok('ack~state-escaped', JSON.stringify(ack).replace('delivered', 'delivere\\u0064'))
  ok('ack~list-spaces', JSON.stringify(ack).replace('["', '[ "').replace(',"AZ', ', "AZ').replace('"]', '" ]'))
  ok('receipt~default', change(receipt, { state: undefined }))
  ok('deliver~why-ignored', { ...deliver, claim: false, why: '' }, [1, 2, 3])
}

function badJSON(put) {
  const bad = (name, frame, payload) => put('malformed', name, frame, payload)
  const number = n => `{"type":"send","id":"${ID}","class":"message","to":"${A}","priority":"now","expires":${n}}`
  bad('empty', '')
  bad('no-object', '[]')
  bad('null', 'null')
  put('unknown_type', 'no-type', '{"id":1}')
  put('unknown_type', 'unknown-type', { type: 'teleport', id: 7 })
  put('unknown_type', 'unknown-type-payload', { type: 'teleport', id: 7 }, [1])
  put('unknown_type', 'type-case', { type: 'Ping', n: 1 })
  bad('type-number', { type: 1 })
  bad('name-case', { type: 'ping', N: 1 })
  bad('type-name-case', { Type: 'ping', n: 1 })
  bad('duplicate', '{"type":"ping","n":1,"n":1}')
  bad('duplicate-type', '{"type":"ping","type":"pong","n":1}')
  bad('duplicate-folded', { type: 'ping', n: 1, N: 1 })
  bad('duplicate-unknown', '{"type":"ping","n":1,"x":1,"x":1}')
  bad('trailing', '{"type":"ping","n":1} ,')
  bad('two-objects', '{"type":"ping","n":1}{}')
  bad('unclosed', '{"type":"ping","n":1')
  bad('number-float', '{"type":"ping","n":1.0}')
  bad('number-exponent', '{"type":"ping","n":1e3}')
  bad('number-large', '{"type":"ping","n":9007199254740992}')
  bad('number-negative', { type: 'ping', n: -1 })
  bad('number-zero-led', number('01'), [1])
  bad('number-negative-zero', number('-0'), [1])
  bad('number-string', number('"1"'), [1])
  bad('lone-surrogate', '{"type":"error","code":"busy","message":"\\ud800"}')
  bad('control-character', '{"type":"error","code":"busy","message":"a\tb"}')
}

function badMessages(put) {
  const bad = (name, frame, payload) => put('malformed', name, frame, payload)
  const large = (name, frame, payload) => put('too_large', name, frame, payload)
  const plain = change(send, { session: undefined, expires: 1 })
  bad('send-no-payload', send)
  bad('ping-payload', { type: 'ping', n: 1 }, [1])
  bad('send-no-id', change(plain, { id: undefined }), [1])
  bad('send-zero-id', { ...plain, id: b64(bytes(0, 16)) }, [1])
  bad('send-no-recipient', change(plain, { to: undefined }), [1])
  bad('send-both', { ...plain, recipients: [{ key: B, box: BOX }] }, [1])
  bad('send-both-without-session', { ...plain, recipients: [{ key: B, box: BOX }] }, [1])
  bad('send-session-for-several', { ...several, session: SESSION, recipients: [{ key: B, box: BOX }] }, [1])
  bad('send-one-of-none', { ...send, one: true }, [1])
  bad('send-twice', { ...several, recipients: [{ key: A, box: BOX }, { key: A, box: BOX }] }, [1])
  const many = Array.from({ length: 17 }, (_, i) => ({ key: b64(bytes(i + 1, 32)), box: 'AQ' }))
  put('ok', 'send-seventeen', { ...several, recipients: many }, [1])
  bad('send-seventeen-one-twice', { ...several, recipients: [...many, many[3]] }, [1])
  bad('send-no-box', { ...several, recipients: [{ key: A }] }, [1])
  bad('send-box-for-nobody', { ...several, recipients: [{ box: BOX }] }, [1])
  large('send-box-large', { ...several, recipients: [{ key: A, box: b64(bytes(0, 257)) }] }, [1])
  bad('send-receipt-several', { ...several, class: 'receipt', recipients: [{ key: A, box: BOX }] }, [1])
  bad('send-no-expiry', change(plain, { expires: undefined }), [1])
  bad('send-class', { ...plain, class: 'parcel' }, [1])
  bad('send-priority', { ...plain, priority: 'NOW' }, [1])
  bad('id-short', { ...plain, id: ID.slice(0, -1) }, [1])
  bad('id-trailing-bits', { ...plain, id: ID.slice(0, -1) + 'R' }, [1])
  bad('id-padded', { ...plain, id: ID + '==' }, [1])
  bad('id-standard-alphabet', { ...plain, id: '+' + ID.slice(1) }, [1])
  bad('id-line-break', { ...plain, id: ID.slice(0, -1) + '\n' }, [1])
  bad('box-line-break', { ...brief, box: 'AQ\nID' }, [1])
  bad('deliver-no-payload', brief)
  bad('deliver-no-id', change(brief, { id: undefined }), [1])
  bad('deliver-no-sender', change(brief, { from: undefined }), [1])
  bad('deliver-no-expiry', change(brief, { expires: undefined }), [1])
  bad('deliver-before-1970', { ...brief, sent: -1 }, [1])
  bad('deliver-attempt', { ...brief, attempt: 0 }, [1])
  large('deliver-receipt-large', { ...brief, class: 'receipt' }, bytes(0, 4097))
  large('send-receipt-large', { ...plain, class: 'receipt' }, bytes(0, 4097))
  large('deliver-box-large', { ...brief, box: b64(bytes(0, 257)) }, [1])
  bad('ack-no-ids', { ...ack, ids: [] })
  bad('ack-zero-id', { ...ack, ids: [ID, b64(bytes(0, 16))] })
  bad('ack-state', { ...ack, state: 'seen' })
  bad('ack-why', { type: 'ack', state: 'refused', why: 'a sentence', to: A, ids: [ID] })
  bad('ack-why-long', { type: 'ack', state: 'refused', why: 'x'.repeat(33), to: A, ids: [ID] })
  bad('ack-no-recipient', change(ack, { to: undefined }))
  bad('ack-comma', JSON.stringify(ack).replace('"]', '",]'))
  bad('receipt-no-sender', change(receipt, { from: undefined }))
  bad('receipt-why', { ...receipt, state: 'refused', why: 'a sentence' })
  bad('receipt-state', { ...receipt, state: 'seen' })
  bad('grant-no-sender', { type: 'grant', granted: true, ids: [ID] })
  bad('grant-no-ids', { type: 'grant', granted: true, from: B })
}

function badRest(put) {
  const bad = (name, frame, payload) => put('malformed', name, frame, payload)
  const large = (name, frame, payload) => put('too_large', name, frame, payload)
  const presence = { type: 'presence' }
  const peers = changes => ({ type: 'presence', peers: [change(member, changes)] })
  const session = changes => peers({ sessions: [change(member.sessions[0], changes)] })
  const unsigned = { signed: OBJECT.signed, sig: '' }
  bad('challenge-no-key', { type: 'challenge', nonce: NONCE })
  bad('hello-no-sig', { type: 'hello', signed: OBJECT.signed })
  bad('hello-nothing-signed', { type: 'hello', sig: SIG })
  bad('hello-sig-short', { type: 'hello', signed: OBJECT.signed, sig: 'AQID' })
  bad('welcome-no-head', change(welcome, { head: undefined }))
  bad('welcome-no-sig', change(welcome, { sig: undefined }))
  for (const name of ['missing', 'present', 'queued', 'time', 'heartbeat']) bad(`welcome-negative-${name}`, { ...welcome, [name]: -1 })
  for (const name of Object.keys(welcome.limits)) bad(`welcome-negative-limit-${name}`, { ...welcome, limits: { ...welcome.limits, [name]: -1 } })
  bad('object-unknown-name', { ...append, entries: [{ ...OBJECT, x: 1 }] })
  bad('object-name-case', { ...append, entries: [{ Signed: OBJECT.signed, sig: SIG }] })
  bad('object-null', { ...append, entries: [{ ...OBJECT, sig: null }] })
  bad('append-nothing', { ...append, entries: [] })
  bad('append-no-id', change(append, { id: undefined }))
  bad('append-unsigned', { ...append, entries: [unsigned] })
  bad('append-three-signatures', { ...append, entries: [{ ...OBJECT, sig: b64(bytes(7, 192)) }] })
  bad('append-half-a-signature', { ...append, entries: [{ ...OBJECT, sig: b64(bytes(7, 96)) }] })
  large('append-entry-large', { ...append, entries: [{ ...OBJECT, signed: b64(bytes(0x20, 4097)) }] })
  large('append-257', { ...append, entries: Array(257).fill({ signed: 'AQ', sig: SIG }) })
  bad('entries-no-head', change(entries, { head: undefined }))
  bad('entries-unsigned', { ...entries, entries: [unsigned] })
  bad('sync-no-id', { type: 'sync', from: 1 })
  bad('sync-negative-limit', { type: 'sync', id: 1, from: 7, limit: -1 })
  bad('subscribe-no-id', { type: 'subscribe' })
  large('presence-three-cards', { ...presence, cards: [OBJECT, OBJECT, OBJECT] })
  bad('presence-card-unsigned', { ...presence, cards: [unsigned] })
  large('presence-card-large', { ...presence, cards: [{ ...OBJECT, signed: b64(bytes(0x20, 4097)) }] })
  bad('presence-negative-pid', { ...presence, pid: -1 })
  for (const name of ['cwd', 'host', 'client']) large(`presence-long-${name}`, { ...presence, [name]: 'x'.repeat(513) })
  large('presence-extras-large', { ...presence, extras: { scheme: 1, sealed: b64(bytes(0, 8193)) } })
  bad('presence-extras-no-box', { ...presence, extras: { ...extras, boxes: [{ key: A }] } })
  bad('presence-peer-no-key', peers({ key: undefined }))
  bad('presence-peer-before-1970', peers({ since: -1 }))
  bad('presence-peer-card-unsigned', peers({ card: unsigned }))
  large('presence-65-peers', { ...presence, peers: Array(65).fill({ key: A, connected: false, since: 0 }) })
  bad('presence-session-no-id', session({ id: undefined }))
  bad('presence-session-before-1970', session({ since: -1 }))
  bad('presence-session-card-unsigned', session({ card: unsigned }))
  large('presence-session-box-large', session({ extras: { ...extras, box: b64(bytes(0, 257)) } }))
  bad('trace-both', { ...trace, re: 1 })
  bad('trace-neither', { type: 'trace', message: ID })
  bad('trace-no-message', { type: 'trace', id: 4 })
  bad('trace-state-of-nobody', { type: 'trace', re: 4, message: ID, states: [{ state: 'queued', time: 1 }] })
  bad('trace-state-before-1970', { type: 'trace', re: 4, message: ID, states: [{ ...state, time: -1 }] })
  bad('trace-why', { type: 'trace', re: 4, message: ID, states: [{ ...state, why: 'a sentence' }] })
  bad('drain-negative', { type: 'drain', within: -1 })
  bad('error-no-code', { type: 'error', message: 'x' })
  bad('error-code', { type: 'error', code: 'a sentence', message: 'x' })
  bad('error-negative-wait', { type: 'error', code: 'rate', message: 'x', retry_after: -1 })
  bad('error-zero-id', { type: 'error', code: 'rate', message: 'x', ids: [b64(bytes(0, 16))] })
  large('error-long', { type: 'error', code: 'busy', message: 'x'.repeat(513) })
}

export function addressVectors() {
  const vectors = []
  const put = (typed, canonical, parts) => vectors.push({ text: typed, ...parts, ...(canonical && { canonical }), outcome: canonical ? 'ok' : 'malformed' })
  const key = 'key-' + 'a'.repeat(52)
  const longest = 'abcdefghijklmnopqrstuvwxyz012345'
  put('alice', 'alice', { user: 'alice' })
  put('Alice', 'alice', { user: 'alice' })
  put('alice@laptop', 'alice@laptop', { user: 'alice', device: 'laptop' })
  put('alice@Laptop/Payments-API', 'alice@laptop/payments-api', { user: 'alice', device: 'laptop', label: 'payments-api' })
  put('alice/web.2', 'alice/web.2', { user: 'alice', label: 'web.2' })
  put('ACME:alice', 'acme:alice', { mesh: 'acme', user: 'alice' })
  put('Acme:Alice@Laptop/Web', 'acme:alice@laptop/web', { mesh: 'acme', user: 'alice', device: 'laptop', label: 'web' })
  put('0_a-b.c', '0_a-b.c', { user: '0_a-b.c' })
  put('key', 'key', { user: 'key' })
  put('keyboard', 'keyboard', { user: 'keyboard' })
  put(longest, longest, { user: longest })
  put('/payments-api', '/payments-api', { label: 'payments-api' })
  put('acme:/web', 'acme:/web', { mesh: 'acme', label: 'web' })
  put('@backend', '@backend', { tag: 'backend' })
  put('acme:@Backend', 'acme:@backend', { mesh: 'acme', tag: 'backend' })
  put('#deploys', '#deploys', { channel: 'deploys' })
  put('*', '*', { all: true })
  put('acme:*', 'acme:*', { mesh: 'acme', all: true })
  put('key-abcdefgh', 'key-abcdefgh', { key: 'key-abcdefgh' })
  put('KEY-ABCDEFG2', 'key-abcdefg2', { key: 'key-abcdefg2' })
  put(key, key, { key })
  for (const typed of [
    '', 'acme:', ':alice', 'a:b:c', '**', '*@backend', '@', '#', '/', 'alice@', 'alice/', 'alice/a/b', 'alice@a@b',
    'alice/web@laptop', '@backend/web', '@laptop@x', '#a#b', '//web', ' alice', 'al ice', 'alice\n', '-alice', '.alice', 'älice',
    '\u212aelvin', '\u001b[31m', longest + '6', 'key-', 'key-abcdefg', 'key-abcdefg1', 'key-abcdefgh/web', key + 'a',
  ]) put(typed)
  return {
    about: 'Addresses as they are typed (CM-2.16), what they name, and their one canonical text.',
    vectors,
  }
}
