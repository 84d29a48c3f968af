// Vectors about JSON: the strict rules, and messages as they are before sealing.

import { b64, concat, peer, random, text } from './forms.mjs'

export const MESH = random('mesh', 16)
export const TIME = 1764000000000

// message gives a message that breaks no rule, with changes.
export function message(from, to, changes = {}) {
  const m = {
    id: b64(random('message id', 16)), mesh: b64(MESH), from: b64(from), session: b64(random('session', 16)),
    label: 'web-shop', audience: { address: 'bob@laptop', keys: to.map(b64) }, seq: 1, kind: 'message',
    priority: 'next', time: TIME, expires: TIME + 7 * 86400000,
    at: { n: 3, hash: b64(random('at', 16)) }, body: 'The build is green again. ✓\n',
  }
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete m[name]
    else m[name] = value
  }
  return m
}

export const json = (value) => text(JSON.stringify(value))

export function jsonVectors() {
  const vectors = []
  const put = (name, data, strict, open = strict) => {
    const bytes = typeof data === 'string' ? text(data) : data
    vectors.push({ name, json: b64(bytes), ...(typeof data === 'string' ? { text: data } : {}), strict, open })
  }
  const ok = 'ok'
  const bad = 'malformed'
  put('all names', '{"role":"member","n":7,"list":[1,2],"inner":{"flag":true}}', ok)
  put('names in another order', '{"n":7,"role":"member"}', ok)
  put('white space between', ' {\n\t"role" : "member" ,\r\n "n":7 } ', ok)
  put('nothing in it', '{}', ok)
  put('an escaped name is that name', '{"ro\\u006ce":"member"}', ok)
  put('escapes', '{"role":"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00"}', ok)
  put('an unknown name', '{"role":"member","extra":1}', bad, ok)
  put('an unknown name with everything in it', '{"extra":[null,{"a":null,"b":[true,false,"x",-5]}]}', bad, ok)
  put('a name twice', '{"role":"member","role":"admin"}', bad)
  put('a name twice, once escaped', '{"role":"member","r\\u006fle":"admin"}', bad)
  put('a name twice but for case', '{"role":"member","Role":"admin"}', bad)
  put('a name in the wrong case', '{"Role":"admin"}', bad)
  put('a name in capitals', '{"ROLE":"admin"}', bad)
  put('an unknown name twice', '{"extra":1,"extra":2}', bad)
  put('an unknown name twice but for case', '{"extra":1,"EXTRA":2}', bad)
  put('case folding beyond ASCII: the Kelvin sign', '{"k":1,"\u212a":2}', bad)
  put('case folding beyond ASCII: the long s', '{"li\u017ft":[1]}', bad)
  put('a name twice in an inner object', '{"inner":{"flag":true,"flag":false}}', bad)
  put('an unknown name in an inner object', '{"inner":{"other":true}}', bad, ok)
  put('2^53 - 1', '{"n":9007199254740991}', ok)
  put('-(2^53 - 1)', '{"n":-9007199254740991}', ok)
  put('2^53', '{"n":9007199254740992}', bad)
  put('2^53 + 1', '{"n":9007199254740993}', bad)
  put('-2^53', '{"n":-9007199254740992}', bad)
  put('2^64', '{"n":18446744073709551616}', bad)
  put('2^53 under an unknown name', '{"extra":9007199254740992}', bad)
  put('a fraction', '{"n":1.5}', bad)
  put('a whole number with a fraction', '{"n":1.0}', bad)
  put('an exponent', '{"n":1e3}', bad)
  put('negative zero', '{"n":-0}', bad)
  put('a leading zero', '{"n":07}', bad)
  put('a plus sign', '{"n":+7}', bad)
  put('a number as text', '{"n":"7"}', bad)
  put('a text as number', '{"role":7}', bad)
  put('null', '{"role":null}', bad, ok)
  put('null in a list', '{"list":[1,null]}', bad)
  put('null alone', 'null', bad)
  put('a list instead of an object', '[]', bad)
  put('nothing', '', bad)
  put('data after the value', '{"n":1}{"n":2}', bad)
  put('a letter after the value', '{"n":1}x', bad)
  put('a zero byte after the value', '{"n":1}\0', bad)
  put('not closed', '{"n":1', bad)
  put('a comma at the end', '{"n":1,}', bad)
  put('a comma at the end of a list', '{"list":[1,]}', bad)
  put('a comment', '{"n":1/**/}', bad)
  put('single quotes', "{'n':1}", bad)
  put('a byte order mark', '\ufeff{"n":1}', bad)
  put('a line break in a string', '{"role":"a\nb"}', bad)
  put('an unknown escape', '{"role":"\\x41"}', bad)
  put('a short escape', '{"role":"\\u12"}', bad)
  put('half a surrogate pair', '{"role":"\\ud83d"}', bad)
  put('surrogates the wrong way round', '{"role":"\\ude00\\ud83d"}', bad)
  put('half a surrogate pair in a name', '{"\\ud83d":1}', bad)
  put('not UTF-8', concat(text('{"role":"'), [0xff], text('"}')), bad)
  put('an overlong encoding', concat(text('{"role":"'), [0xc0, 0xae], text('"}')), bad)
  put('a surrogate as bytes', concat(text('{"role":"'), [0xed, 0xa0, 0xbd], text('"}')), bad)
  put('16 deep', '{"extra":' + '['.repeat(15) + ']'.repeat(15) + '}', bad, ok)
  put('16 objects deep', '{"extra":'.repeat(15) + '{}' + '}'.repeat(15), bad, ok)
  put('17 objects deep', '{"extra":'.repeat(16) + '{}' + '}'.repeat(16), bad)
  put('no colon', '{"n" 1}', bad)
  put('a sign without digits', '{"n":-}', bad)
  put('an escape in capitals', '{"role":"\\u00E9"}', ok)
  put('an escape that does not end', '{"role":"\\u12', bad)
  put('a line break behind an escape', '{"role":"\\t\n"}', bad)
  put('17 deep', '{"extra":' + '['.repeat(16) + ']'.repeat(16) + '}', bad)
  return {
    about: 'JSON texts and whether they are taken into {"role": text, "n": integer, "list": [integer, ...], ' +
      '"inner": {"flag": boolean}, "k": integer}, all of them optional: strict, as signed objects are read, and open, as messages and plain ' +
      'frames are, where unknown names are ignored and null is as good as no name.',
    vectors,
  }
}

export function messageVectors() {
  const alice = peer('alice').publicKey
  const bob = peer('bob').publicKey
  const carol = peer('carol').publicKey
  const vectors = []
  const put = (name, data, outcome) => vectors.push({ name, message: b64(data), outcome })
  const change = (name, changes, outcome = 'malformed') => put(name, json(message(alice, [bob], changes)), outcome)
  const id = b64(random('another message', 16))
  const hash = b64(random('a hash', 32))
  const receipt = { id, hash, state: 'seen' }
  const bare = { seq: undefined, body: undefined }

  change('message', {}, 'ok')
  change('without what may be missing', { label: undefined, body: undefined }, 'ok')
  change('an unknown name', { colour: 'red' }, 'ok')
  change('an unknown name with null', { colour: null }, 'ok')
  change('ask', { kind: 'ask', priority: 'now' }, 'ok')
  change('answer', { kind: 'answer', reply_to: id, thread: id, depth: 3 }, 'ok')
  change('decline', { kind: 'decline', reply_to: id }, 'ok')
  change('notice', { kind: 'notice', priority: 'low' }, 'ok')
  change('via', { via: ['slack:ops', 'bridge-west'] }, 'ok')
  change('receipt', { kind: 'receipt', ...bare, receipts: [receipt, { id, hash, state: 'refused', why: 'muted' }] }, 'ok')
  change('roster asks', { kind: 'roster', ...bare, roster: { ask: true, from: 7 } }, 'ok')
  const object = { signed: b64(text('{}')), sig: b64(random('a signature', 64)) }
  change('roster brings', { kind: 'roster', ...bare, roster: { from: 7, entries: [object], heads: [object] } }, 'ok')
  change('several recipients', { audience: { address: 'bob', keys: [b64(bob), b64(carol)], one: true } }, 'ok')
  change('a session', { audience: { keys: [b64(bob)], session: b64(random('to', 16)) } }, 'ok')
  change('257 recipients', { audience: { address: '*', count: 257 } }, 'ok')

  // written writes it with something replaced in its text.
  const written = (name, from, to, outcome = 'malformed') => put(name, text(JSON.stringify(message(alice, [bob])).replace(from, to)), outcome)
  written('an id with an escape', '"id":"D', '"id":"\\u0044', 'ok')
  written('a label with an escape', '"web-shop"', '"web\\u002dshop"', 'ok')
  written('an id that is a number', /"id":"[^"]*"/, '"id":7')
  written('a label that is a number', '"web-shop"', '7')
  written('a label that does not end', /"web-shop".*/, '"web-shop')
  written('a number that begins with zero', '"seq":1', '"seq":01')
  written('no number', '"seq":1', '"seq":')
  written('a number as text', '"seq":1', '"seq":"1"')
  written('a sequence number of 2^53', '"seq":1', '"seq":9007199254740992')
  written('a count beside a list', '"keys":', '"count":257,"keys":')
  written('an audience with nothing', /"keys":\[[^\]]*\]/, '"keys":[]')

  put('data after it', concat(json(message(alice, [bob])), text(' {}')), 'malformed')
  put('not UTF-8', concat(json(message(alice, [bob])).slice(0, -2), [0xff], text('"}')), 'malformed')
  for (const [name, body] of [['a line break', 'a\nb'], ['a line break after an escape', 'a\\n\nb'], ['an unknown escape', 'a\\x'],
    ['half a surrogate pair', 'a\\ud83d'], ['a quote', 'a"b']]) {
    const [before, after] = JSON.stringify(message(alice, [bob], { body: '#' })).split('#')
    put(`${name} in the body`, text(before + body + after), 'malformed')
  }
  put('body twice', concat(json(message(alice, [bob])).slice(0, -1), text(',"body":"x"}')), 'malformed')
  put('Body beside body', concat(json(message(alice, [bob])).slice(0, -1), text(',"Body":"x"}')), 'malformed')
  put('empty', new Uint8Array(0), 'malformed')
  change('time of 2^53', { time: 2 ** 53 })
  change('a fraction', { depth: 0.5 })
  for (const name of ['id', 'mesh', 'from', 'session', 'audience', 'seq', 'kind', 'priority', 'time', 'expires', 'at']) {
    change(`no ${name}`, { [name]: undefined }, name === 'kind' ? 'unknown_kind' : 'malformed')
  }
  change('kind of a later version', { kind: 'whisper' }, 'unknown_kind')
  change('unknown priority', { priority: 'soon' })
  change('label in capitals', { label: 'Web-Shop' })
  change('expires when it is sent', { expires: TIME })
  change('expires 30 days later', { expires: TIME + 30 * 86400000 }, 'ok')
  change('expires more than 30 days later', { expires: TIME + 30 * 86400000 + 1 })
  change('negative time', { time: -1 })
  change('time of zero', { time: 0, expires: 1 })
  const last = Number.MAX_SAFE_INTEGER - 30 * 86400000
  change('the last time', { time: last, expires: last + 1 }, 'ok')
  change('a later time', { time: last + 1, expires: last + 2 })
  change('negative depth', { depth: -1 })
  change('depth of 65537', { depth: 65537 })
  change('key too short', { from: b64(alice.slice(1)) })
  change('key in padded base64', { from: b64(alice) + '=' })
  change('key with set bits after its end', { from: b64(alice).slice(0, -1) + 'B' })
  change('key in base64 of the other alphabet', { from: b64(new Uint8Array(32).fill(255)).replaceAll('_', '/') })
  change('answer to nothing', { kind: 'answer' })
  change('audience of nobody', { audience: { address: 'bob' } })
  change('audience with a key twice', { audience: { keys: [b64(bob), b64(bob)] } })
  change('audience with a list and a count', { audience: { keys: [b64(bob)], count: 1 } })
  change('audience of 256 without a list', { audience: { count: 256 } })
  change('audience of 1025', { audience: { count: 1025 } })
  change('a session among several', { audience: { keys: [b64(bob), b64(carol)], session: b64(random('to', 16)) } })
  const listed = (n) => Array.from({ length: n }, (_, i) => b64(random(`recipient ${i}`, 32)))
  change('audience that lists 256', { audience: { keys: listed(256) } }, 'ok')
  change('audience that lists 257', { audience: { keys: listed(257) } })
  change('address of 256 bytes', { audience: { address: 'x'.repeat(256), keys: [b64(bob)] } }, 'ok')
  change('address of 257 bytes', { audience: { address: 'x'.repeat(257), keys: [b64(bob)] } })
  for (const [name, c] of [['a delete', '\x7f'], ['a next line', '\x85'], ['a paragraph separator', '\u2029']]) {
    change(`address with ${name}`, { audience: { address: `bob${c}alice`, keys: [b64(bob)] } })
  }
  change('address with a space that does not break', { audience: { address: 'bob\xa0alice', keys: [b64(bob)] } }, 'ok')
  change('address with a line separator', { audience: { address: 'bob\u2028alice', keys: [b64(bob)] } })
  change('address of two lines', { audience: { address: 'bob\nalice', keys: [b64(bob)] } })
  change('receipts in a message', { receipts: [receipt] })
  change('receipt without receipts', { kind: 'receipt', ...bare })
  change('receipt with a body', { kind: 'receipt', seq: undefined, receipts: [receipt] })
  change('receipt with a sequence number', { kind: 'receipt', body: undefined, receipts: [receipt] })
  change('receipt of 17', { kind: 'receipt', ...bare, receipts: Array(17).fill(receipt) })
  change('receipt of no message', { kind: 'receipt', ...bare, receipts: [{ ...receipt, id: b64(new Uint8Array(16)) }] })
  change('receipt of no hash', { kind: 'receipt', ...bare, receipts: [{ ...receipt, hash: b64(new Uint8Array(32)) }] })
  change('receipt of unknown state', { kind: 'receipt', ...bare, receipts: [{ id, hash, state: 'read' }] })
  change('reason without refusal', { kind: 'receipt', ...bare, receipts: [{ ...receipt, why: 'muted' }] })
  change('reason that is no code', { kind: 'receipt', ...bare, receipts: [{ id, hash, state: 'refused', why: 'Go away!' }] })
  change('reason of 33 characters', { kind: 'receipt', ...bare, receipts: [{ id, hash, state: 'refused', why: 'x'.repeat(33) }] })
  change('roster without content', { kind: 'roster', ...bare })
  change('roster that asks and brings', { kind: 'roster', ...bare, roster: { ask: true, from: 7, heads: [object] } })
  change('roster that does neither', { kind: 'roster', ...bare, roster: { from: 7 } })
  change('9 stations', { via: Array(9).fill('x') })
  change('a station without a name', { via: [''] })
  change('a station of 128 bytes', { via: ['x'.repeat(128)] }, 'ok')
  change('a station of 129 bytes', { via: ['x'.repeat(129)] })
  change('a station of two lines', { via: ['slack\nbridge'] })
  return {
    about: 'Messages as they are before sealing, and whether their form is taken.',
    vectors,
  }
}
