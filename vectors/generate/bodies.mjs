// Vectors about the bytes that hellos, welcomes and cards sign, and about a client's
// config.json.

import { b64, base32, concat, peer, random, sha256, sign, sodium, text } from './forms.mjs'
import { json, MESH, TIME } from './texts.mjs'

const alice = peer('alice')
const broker = peer('broker')
const SESSION = random('session', 16)
const AT = { n: 3, hash: b64(random('at', 16)) }
const zeros = (size) => b64(new Uint8Array(size))

// bodies makes the vectors of one domain: own is who must sign, and body is one that
// breaks no rule.
function bodies(domain, own, body) {
  const vectors = []
  const put = (name, data, outcome, { by = own, under = domain, sig } = {}) => vectors.push({
    name, text: new TextDecoder().decode(data), object: { signed: b64(data), sig: b64(sig ?? sign(by, `claudemesh/v1/${under}`, data)) },
    key: b64(own.publicKey), outcome,
  })
  // change signs a body with some fields changed; one that is undefined is left out.
  const change = (name, changes, outcome = 'malformed') => put(name, json({ ...body, ...changes }), outcome)
  const whole = json(body)
  put(domain, whole, 'ok')
  const spaced = text(` ${JSON.stringify(body, null, 1)}\n`)
  put('white space between', spaced, 'ok')
  put('names in another order', json(Object.fromEntries(Object.entries(body).reverse())), 'ok')
  for (const name of Object.keys(body)) change(`${name} is null`, { [name]: null })
  change('an unknown name', { colour: 'red' })
  const first = Object.keys(body)[0]
  change('a name in another case', { [first]: undefined, [first.toUpperCase()]: body[first] })
  put('a name twice', concat(whole.slice(0, -1), text(`,${JSON.stringify(first)}:${JSON.stringify(body[first])}}`)), 'malformed')
  put('data after it', concat(whole, text(' {}')), 'malformed')
  put('a list', concat(text('['), whole, text(']')), 'malformed')
  put('not UTF-8', concat(whole.slice(0, -2), [0xff], whole.slice(-2)), 'malformed')
  put('signed by another', whole, 'bad_signature', { by: peer('bob') })
  put('signed for another use', whole, 'bad_signature', { under: domain === 'card' ? 'hello' : 'card' })
  put('signed without a domain', whole, 'bad_signature', { sig: sodium.crypto_sign_detached(whole, own.privateKey) })
  put('the signature of other bytes', whole, 'bad_signature', { sig: sign(own, `claudemesh/v1/${domain}`, spaced) })
  put('half a signature', whole, 'bad_signature', { sig: sign(own, `claudemesh/v1/${domain}`, whole).slice(0, 32) })
  const twice = sign(own, `claudemesh/v1/${domain}`, whole)
  put('two signatures', whole, 'bad_signature', { sig: concat(twice, twice) })
  return { vectors, put, change }
}

export function helloVectors() {
  const { vectors, change } = bodies('hello', alice, {
    mesh: b64(MESH), peer: b64(alice.publicKey), session: b64(SESSION), label: 'web-shop', client: 'example/1', receives: 'live',
    origin: 'https://mesh.example.org', at: AT, life: 1, nonce: b64(random('nonce', 32)), broker: b64(broker.publicKey),
  })
  change('without what may be missing', { label: undefined, client: undefined, receives: undefined, at: undefined, life: undefined }, 'ok')
  change('the zero values of what may be missing', { label: '', client: '', receives: 'none', at: { n: 0, hash: zeros(16) }, life: 0 }, 'ok')
  change('receives replies', { receives: 'replies' }, 'ok')
  change('receives drain', { receives: 'drain' }, 'ok')
  change('a client of 512 bytes', { client: 'x'.repeat(512) }, 'ok')
  change('by a unix socket', { origin: 'unix:' }, 'ok')
  for (const [name, size] of [['mesh', 16], ['peer', 32], ['session', 16], ['broker', 32]]) {
    change(`no ${name}`, { [name]: undefined })
    change(`${name} of zeros`, { [name]: zeros(size) })
    change(`${name} too short`, { [name]: zeros(size - 1) })
  }
  change('nonce too long', { nonce: zeros(33) })
  change('label in capitals', { label: 'Web-Shop' })
  change('an unknown word', { receives: 'everything' })
  change('a client of 513 bytes', { client: 'x'.repeat(513) })
  change('an origin of 513 bytes', { origin: 'x'.repeat(513) })
  change('negative life', { life: -1 })
  change('life of 2^53', { life: 2 ** 53 })
  change('a fraction', { life: 0.5 })
  change('an unknown name in a place', { at: { ...AT, colour: 'red' } })
  change('a place without an object', { at: 3 })
  return {
    about: 'What hellos sign (CM-7.18): ok, malformed (the form of the bytes), or bad_signature. key is the peer that must have signed.',
    vectors,
  }
}

export function welcomeVectors() {
  const { vectors, change } = bodies('welcome', broker, { hello: b64(random('hash of a hello', 32)), head: b64(random('hash of a head', 32)) })
  for (const name of ['hello', 'head']) {
    change(`${name} too short`, { [name]: zeros(31) })
    change(`${name} in padded base64`, { [name]: zeros(32) + '=' })
    change(`${name} as a number`, { [name]: 1 })
  }
  return {
    about: 'What welcomes sign (CM-7.24): ok, malformed (the form of the bytes), or bad_signature. key is the broker that must have signed.',
    vectors,
  }
}

export function cardVectors() {
  const session = {
    mesh: b64(MESH), peer: b64(alice.publicKey), session: b64(SESSION), counter: 7, time: TIME, at: AT, label: 'web-shop', status: 'working',
  }
  const { vectors, change } = bodies('card', alice, session)
  // own signs the peer's card, without session.
  const own = (name, changes, outcome) => change(name, { session: undefined, label: undefined, status: undefined, tags: ['backend', 'on-call'], ...changes }, outcome)
  own("a peer's card", {}, 'ok')
  own("a peer's card with the zero session", { session: zeros(16) }, 'ok')
  own('without what may be missing', { tags: undefined }, 'ok')
  own('keys of a later version', { keys: [b64(random('a short-lived key', 32)), ''] }, 'ok')
  own('16 tags', { tags: [...'abcdefghijklmnop'] }, 'ok')
  change('a session without label and status', { label: undefined, status: undefined }, 'ok')
  change('a status of a later version', { status: 'on_holiday' }, 'ok')
  change('no mesh', { mesh: undefined })
  change('no peer', { peer: undefined })
  change('mesh of zeros', { mesh: zeros(16) })
  change('no counter', { counter: undefined })
  change('a counter of zero', { counter: 0 })
  change('no time', { time: undefined })
  change('negative time', { time: -1 })
  change('time of 2^53', { time: 2 ** 53 })
  change('label in capitals', { label: 'Web-Shop' })
  change('a status that is no code', { status: 'Gone fishing!' })
  change('tags of a session', { tags: ['backend'] })
  change('keys of a session', { keys: ['AQ'] })
  change('an unknown name in a place', { at: { ...AT, colour: 'red' } })
  own('label without session', { label: 'web-shop' })
  own('status without session', { status: 'idle' })
  own('17 tags', { tags: [...'abcdefghijklmnopq'] })
  own('a tag twice', { tags: ['backend', 'backend'] })
  own('tags not sorted', { tags: ['on-call', 'backend'] })
  own('a tag in capitals', { tags: ['Backend'] })
  own('an empty tag', { tags: [''] })
  own('null among the tags', { tags: ['backend', null] })
  return {
    about: 'What cards sign (CM-7.42): ok, malformed (the form of the bytes), or bad_signature. key is the peer that must have signed.',
    vectors,
  }
}

export function configVectors() {
  const vectors = []
  const put = (name, data, outcome) => vectors.push({ name, config: typeof data === 'string' ? data : JSON.stringify(data, null, 2) + '\n', outcome })
  const secret = (role, name) => `${role}-private-${base32(random('seed of ' + name, 32))}`
  const id = (name) => b64(sha256(text('mesh ' + name)).slice(0, 16))
  const mesh = {
    id: id('acme'), alias: 'acme', brokers: [{ urls: ['https://mesh.example.org', 'unix:'], key: b64(broker.publicKey) }],
    user: 'alice', device: 'laptop', peer_key: secret('peer', 'alice'), owner_key: secret('owner', 'owner'),
    invites: [{ id: b64(peer('invite').publicKey), seed: b64(random('seed of invite', 32)), until: TIME }],
  }
  const home = { id: id('home'), alias: 'home', brokers: [], user: 'al', device: 'desk', peer_key: secret('peer', 'carol'), draft: true }
  // change gives a config of one mesh with some fields changed; one that is undefined is left out.
  const change = (name, changes, outcome = 'broken') => put(name, { version: 1, meshes: [{ ...mesh, ...changes }] }, outcome)
  put('all fields', {
    version: 1, default: 'acme', receipts: 'off', history: 'off', presence: 'minimal', new_members: 'hold',
    loop_guard: { depth: 3, pair: -1 }, meshes: [mesh, home],
  }, 'ok')
  put('nothing in it', { version: 1, meshes: [] }, 'ok')
  put('no loop guard', { version: 1, loop_guard: 'off', meshes: [] }, 'ok')
  put('the version alone', '{"version":1}', 'ok')
  put('no meshes', '{"version":1,"meshes":null}', 'ok')
  change('no keys yet', { peer_key: undefined, owner_key: undefined, invites: undefined }, 'ok')
  change('unknown fields', {
    colour: { deep: [1, 2.5, null] }, brokers: [{ ...mesh.brokers[0], since: 1e20 }], invites: [{ ...mesh.invites[0], note: 'for <bob> & co' }],
  }, 'ok')
  put('a later version', '{"version":2,"meshes":{"another":"form"}}', 'future')
  put('no version', '{"meshes":[]}', 'broken')
  put('version 0', '{"version":0}', 'broken')
  put('a version as text', '{"version":"1"}', 'broken')
  put('empty', '', 'broken')
  put('no object', '[1]', 'broken')
  put('cut off', '{"version":1,"meshes":[{"id":"AQAA', 'broken')
  put('two values', '{"version":1}{"version":1}', 'broken')
  put('a name twice', '{"version":1,"default":"a","default":"b"}', 'broken')
  put('meshes that are no list', '{"version":1,"meshes":{}}', 'broken')
  put('a mesh that is no object', '{"version":1,"meshes":[1]}', 'broken')
  put('a mesh twice', { version: 1, meshes: [mesh, { ...home, id: mesh.id }] }, 'broken')
  put('an alias twice', { version: 1, meshes: [mesh, { ...home, alias: 'acme' }] }, 'broken')
  change('no id', { id: undefined })
  change('an id of zeros', { id: zeros(16) })
  change('an id too short', { id: 'xyz' })
  change('no alias', { alias: undefined })
  change('an alias that is no name', { alias: 'A b' })
  change('a damaged key', { peer_key: mesh.peer_key.slice(0, -3) })
  change('the key of another role', { owner_key: mesh.peer_key })
  change('a damaged seed', { invites: [{ ...mesh.invites[0], seed: mesh.peer_key + '!' }] })
  change("a broker's key too short", { brokers: [{ urls: [], key: 'AQ' }] })
  return {
    about: "A client's config.json: ok, future (a later version), or broken. The keys are nobody's secret.",
    vectors,
  }
}
