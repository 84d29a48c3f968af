// One connection to a broker: transport and handshake (CM-7.1 to CM-7.31).
import EventEmitter from 'node:events'
import WebSocket from 'ws'
import { b64, concat, hashOf, isZero, need, random, Refusal, refuse, un64, utf8 } from './bytes.mjs'
import { readHead } from './chain.mjs'
import { above0, boolean, bytes, code, count, filled, list, openly, optional, parse, record, signedObject, some, strictly, string, word } from './json.mjs'
import { fingerprint, sign, verify } from './keys.mjs'

const words = (...all) => optional(word(...all), all[0])
const re = optional(count, 0)
const ids = list(some(16), 1, 1024)

const limits = record({ // CM-7.23
  in_flight: optional(count), body: optional(count), frame: optional(count), recipients: optional(count), waiting: optional(count),
})
const ownBox = v => { need(un64(bytes()(v)).length <= 256, 'a box too large'); return v } // CM-7.49

// frames that this peer reads; it ignores every other type (CM-7.6).
export const frames = {
  challenge: record({ broker: bytes(32), nonce: bytes(32) }),
  welcome: record({
    signed: filled, sig: filled, head: signedObject, missing: count, present: count, queued: count,
    limits, features: optional(list(string()), []), time: above0, heartbeat: above0,
  }),
  error: record({ code, message: string(512), re, ids: optional(list(some(16)), []), retry_after: optional(count, 0) }),
  entries: record({
    re, chain: optional(bytes(32), ''), appended: optional(boolean, false), from: count,
    entries: optional(list(signedObject, 0, 256), []), head: signedObject, more: optional(boolean, false),
  }),
  deliver: record({
    id: some(16), class: words('message', 'receipt'), from: bytes(32), session: optional(bytes(16), ''),
    box: optional(ownBox, ''), priority: optional(word('now', 'next', 'low'), 'next'), expires: above0,
    sent: count, attempt: above0, claim: optional(boolean, false),
  }),
  ack: record({ state: word('delivered', 'queued', 'refused', 'expired'), why: optional(code, ''), to: bytes(32), ids }),
  grant: record({ granted: optional(boolean, false), from: bytes(32), ids }),
  ping: record({ n: count }),
}

const typed = record({ type: optional(string(), '') }) // CM-7.6: without a type it is of an unknown one

export function readFrame(data, binary) { // CM-7.2 to CM-7.5
  need(data.length <= 2_097_152, 'too large')
  let object = data
  let payload = null
  if (binary) {
    need(data.length >= 4, 'no length')
    const end = 4 + data.readUInt32BE(0)
    need(end - 4 <= 393_216 && end <= data.length && data.length - end <= 1_638_400, 'the length of the object or the payload')
    object = data.subarray(4, end)
    payload = new Uint8Array(data.subarray(end))
  }
  const value = parse(object)
  const { type } = typed(value, true)
  if (!Object.hasOwn(frames, type)) return null
  need((type === 'deliver') === binary, 'a payload where none belongs, or none') // CM-7.4
  value.delete('type')
  const frame = { type, ...frames[type](value, true), payload }
  need(frame.class !== 'receipt' || payload.length <= 4096, 'a receipt too large') // CM-7.47
  return frame
}

export const welcomeFields = record({ hello: bytes(32), head: bytes(32) })

// certified tells whether the TLS connection leads to the broker that is pinned, or is
// certified for its name (CM-7.10).
function certified(socket, pin) {
  const key = socket.getPeerX509Certificate()?.publicKey.export({ format: 'jwk' })
  return socket.authorized || key?.crv === 'Ed25519' && fingerprint(key.x) === pin
}

// Connection emits `frame` for what is told unasked, in its order, and `close`.
export class Connection extends EventEmitter {
  #asked = new Map()
  #ids = 0
  #handshake

  // options: url, key, mesh, pin (fingerprint), session, label, receives, at, life.
  constructor(options) {
    super()
    this.options = options
    this.ws = new WebSocket(options.url.replace(/^http/, 'ws') + '/v1', 'claudemesh.v1', {
      perMessageDeflate: false, maxPayload: 2_097_152, minVersion: 'TLSv1.3',
      rejectUnauthorized: false, // certified judges instead
    })
    this.ws.on('upgrade', ({ socket }) => {
      if (socket.encrypted && !certified(socket, options.pin)) this.#drop(4108, 'another certificate')
    })
    this.ws.on('message', (data, binary) => this.#take(data, binary))
    this.ws.on('ping', () => this.#heard())
    this.ws.on('error', error => { this.error = error })
    this.ws.on('close', (closed, reason) => {
      clearTimeout(this.silence)
      const gone = new Error(this.error?.message ?? `closed with ${closed} ${reason}`)
      this.#handshake.reject(gone)
      for (const { reject } of this.#asked.values()) reject(gone)
      this.emit('close', closed)
    })
    this.welcome = new Promise((resolve, reject) => { this.#handshake = { resolve, reject } })
    this.#heard(75)
  }

  #heard(seconds = this.heartbeat * 2.5) { // CM-7.13
    clearTimeout(this.silence)
    this.silence = setTimeout(() => this.#drop(4002, 'silent'), Math.min(seconds, 75) * 1000)
  }

  #drop(closeCode, reason) {
    this.error ??= new Error(reason)
    this.ws.close(closeCode, reason)
  }

  #take(data, binary) {
    if (this.ws.readyState !== WebSocket.OPEN) return
    try {
      const frame = readFrame(data, binary)
      if (frame) this.#handle(frame)
      if (this.heartbeat) this.#heard()
    } catch (e) {
      if (!(e instanceof Refusal)) throw e
      this.#drop(e.class === 'broker' ? 4108 : 4100, e.message) // CM-7.7
    }
  }

  #handle(f) {
    if (f.type === 'ping') return this.send({ type: 'pong', n: f.n }) // CM-7.14
    if (f.type === 'challenge') return this.#hello(f)
    if (f.type === 'welcome') return this.#welcome(f)
    const asked = this.#asked.get(f.re)
    if (!asked) return this.emit('frame', f)
    this.#asked.delete(f.re)
    asked.resolve(f)
  }

  #hello(challenge) {
    const { key, mesh, pin, session, label, receives, url, at, life } = this.options
    if (this.hello || fingerprint(challenge.broker) !== pin) refuse('broker', 'not the broker that is pinned') // CM-7.16
    this.broker = challenge.broker
    this.hello = utf8(JSON.stringify({ // CM-7.18
      mesh, peer: key.public, session, label, client: 'jspeer/1', receives, origin: url, at, life,
      nonce: challenge.nonce, broker: challenge.broker,
    }))
    this.send({ type: 'hello', ...sign('hello', this.hello, key) })
  }

  #welcome(w) { // CM-7.24, CM-7.25
    try {
      const said = strictly(welcomeFields, verify('welcome', w, this.broker))
      need(said.hello === b64(hashOf('hello', this.hello)) && said.head === b64(hashOf('head', un64(w.head.signed))), 'another handshake')
      need(readHead(w.head, this.broker).mesh === this.options.mesh, 'another mesh')
    } catch (e) {
      if (!(e instanceof Refusal)) throw e
      refuse('broker', e.message)
    }
    this.heartbeat = w.heartbeat
    this.#handshake.resolve(w)
  }

  send(frame, payload) { // CM-7.2
    const object = JSON.stringify(frame)
    if (!payload) return this.ws.send(object)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(Buffer.byteLength(object))
    this.ws.send(concat(length, utf8(object), payload))
  }

  // ask sends a request and gives its answer (CM-7.30).
  ask(frame) {
    const id = ++this.#ids
    const answer = new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }))
    this.send({ ...frame, id })
    return answer
  }

  close() { this.ws.close(1000, 'bye') }
}

export const newSession = () => b64(random(16)) // CM-2.10

// bring brings a chain under the broker's newest head (CM-7.25, CM-7.32).
export async function bring(connection, chain) {
  for (let more = true; more;) {
    const page = await connection.ask({ type: 'sync', from: chain.entries.length })
    if (page.type === 'error') refuse(page.code, page.message)
    if (page.entries.length === 0) { // a head alone
      const head = readHead(page.head, chain.roster.broker)
      if (head.n < chain.entries.length && !isZero(head.hash) && chain.entries[head.n].hash === head.hash) return
      refuse('fork', 'the broker holds another order') // CM-5.48
    }
    chain.take(page.from, page.entries, page.head)
    more = page.more
  }
}
