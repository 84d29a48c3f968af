// A peer: joining (CM-9.6 to CM-9.10), sending and taking (CM-8).
import { b64, need, Refusal, refuse, un64, utf8 } from './bytes.mjs'
import { makeEntry } from './chain.mjs'
import { bring, Connection, newSession } from './connection.mjs'
import { judge, nameOf, Order } from './inbox.mjs'
import { fingerprint, newKey, newMessageID, sign } from './keys.mjs'
import { readLink } from './link.mjs'
import { sealDirect, sealedHash, sealGroup } from './seal.mjs'
import { State } from './state.mjs'

const week = 604_800_000

// join joins by a link and gives what it kept in the file.
export async function join(file, linkText, user, device) {
  const link = readLink(linkText)
  const invite = newKey(link.seed)
  const state = new State(file, link)
  state.save() // CM-9.8
  const { chain, key } = state
  const connection = new Connection({ ...link, pin: link.broker, key: invite, session: newSession(), receives: 'none' })
  const clock = (await connection.welcome).time - Date.now() // CM-7.23
  for (;;) {
    await bring(connection, chain)
    need(fingerprint(chain.roster.broker) === link.broker, 'the chain names another broker') // CM-9.7
    if (chain.roster.keys.has(key.public)) break // an answer that was lost (CM-9.9)
    const time = Math.max(Date.now() + clock, chain.roster.time) // CM-5.14
    const open = chain.roster.keys.get(invite.public)
    need(open?.role === 'invite' && chain.roster.isOpen(open, time), 'the invite is closed')
    const last = chain.entries.at(-1)
    const entry = makeEntry({
      mesh: link.mesh, n: last.n + 1, prev: last.hash, type: 'join', by: invite.public, time,
      user, device, peer: key.public, kind: 'agent',
    }, invite, key)
    const answer = await connection.ask({ type: 'append', entries: [entry] })
    if (answer.type === 'error') refuse(answer.code, answer.message)
    if (!answer.appended) continue // others were faster
    chain.take(answer.from, [entry], answer.head)
    break // the broker closes with 4007 (CM-7.28)
  }
  connection.close()
  state.save()
  return state
}

// Peer is a member that is connected. told is called with what its user sees.
export class Peer {
  constructor(state, label, told) {
    Object.assign(this, { state, label, told, session: newSession(), order: new Order(), seqs: new Map(), claimed: new Map() })
  }

  // connect says hello, brings the chain, and only then takes what comes.
  async connect() {
    const { state, session, label } = this
    const { chain, key, url, mesh } = state
    const pin = chain.roster.broker ? fingerprint(chain.roster.broker) : state.broker // CM-7.10
    const connection = this.connection = new Connection({ key, mesh, url, pin, session, label, receives: 'live', at: chain.at, life: chain.life })
    let work = new Promise(resolve => { this.ready = resolve })
    connection.on('frame', f => {
      // What revokes this peer is told before a welcome, too (CM-7.22).
      if (f.type === 'entries' || f.type === 'error') this.#tried(f)
      else work = work.then(() => this.#tried(f))
    })
    this.closed = new Promise(resolve => connection.on('close', resolve))
    await connection.welcome
    await bring(connection, chain)
    state.save() // CM-5.41
    this.#present()
    this.#resend()
    this.ready()
  }

  #present() { // CM-7.26, CM-7.40
    const { key, chain, mesh } = this.state
    this.state.counter++
    this.state.save()
    const card = { mesh, peer: key.public, session: this.session, counter: this.state.counter, time: Date.now(), at: chain.at, label: this.label, status: 'idle' }
    this.connection.send({ type: 'presence', cards: [sign('card', utf8(JSON.stringify(card)), key)] })
  }

  // #tried takes nothing of what is refused, and tells its user (CM-5.48).
  #tried(f) {
    try {
      this.#frame(f)
    } catch (e) {
      if (!(e instanceof Refusal)) throw e
      this.told({ event: 'refused', why: e.class, message: e.message })
    }
  }

  #frame(f) {
    switch (f.type) {
      case 'entries': return this.#entries(f)
      case 'error': return this.told({ event: 'error', code: f.code, proved: f.code === 'revoked' && this.isRevoked() })
      case 'ack': return this.#ack(f)
      case 'deliver': return this.#deliver(f)
      case 'grant': return this.#grant(f)
    }
  }

  isRevoked() { return Boolean(this.state.chain.roster.keys.get(this.state.key.public)?.revoked) }

  #entries(f) { // CM-7.35
    const { state } = this
    if (f.from > state.chain.entries.length) return
    state.chain.take(f.from, f.entries, f.head)
    state.save()
    for (const { frame, payload } of Object.values(state.inbox)) this.#judged(frame, un64(payload))
  }

  // Taking.

  #receipt(state, frame, why) { // CM-7.50
    this.connection.send({ type: 'receipt', state, ...(why && { why }), from: frame.from, ids: [frame.id] })
  }

  #deliver({ payload, ...frame }) {
    if (frame.claim) { // CM-8.27, CM-8.28
      this.claimed.set(nameOf(frame), { frame, payload })
      return this.#receipt('claim', frame)
    }
    return this.#judged(frame, payload)
  }

  #grant({ from, ids, granted }) {
    for (const id of ids) {
      const copy = this.claimed.get(nameOf({ from, id }))
      this.claimed.delete(nameOf({ from, id }))
      if (copy && granted) this.#judged(copy.frame, copy.payload)
    }
  }

  #judged(frame, payload) {
    const { state } = this
    const name = nameOf(frame)
    const now = Date.now()
    const verdict = judge(state, frame, payload, now)
    if (verdict.state === 'refused') {
      delete state.inbox[name]
      state.save()
      this.told({ event: 'refused', from: frame.from, why: verdict.why })
      return this.#receipt('refused', frame, verdict.why)
    }
    if (verdict.state === 'held') {
      state.inbox[name] = { frame, payload: b64(payload) }
      state.save()
      const early = verdict.message.time - now
      if (early > 0) setTimeout(() => this.#judged(frame, payload), Math.min(early, 2 ** 31 - 1)).unref()
      return this.#receipt('received', frame)
    }
    delete state.inbox[name]
    for (const [old, until] of Object.entries(state.known)) if (until < now) delete state.known[old]
    state.known[name] = verdict.until
    state.save()
    this.#receipt('received', frame)
    if (verdict.message) this.#show(verdict.message, sealedHash(payload))
  }

  #show(m, hash) {
    if (m.kind === 'receipt') return this.#receipts(m)
    if (m.kind === 'roster') return // CM-4.39: this peer brings none
    const member = this.state.chain.roster.keys.get(m.from)
    this.told({ event: 'message', id: m.id, from: `${member.user}@${member.device}`, body: m.body, kind: m.kind, ...this.order.mark(m) })
    this.#put([m.from], { kind: 'receipt', expires: m.expires, receipts: [{ id: m.id, hash, state: 'seen' }] }) // CM-8.25
  }

  #receipts(m) { // CM-4.35
    for (const r of m.receipts) {
      const sent = this.state.sent[r.id]?.[m.from]
      if (sent === r.hash) this.told({ event: r.state, id: r.id })
    }
  }

  // Sending.

  // send sends a text to a user: to its device, or to any one of several.
  send(user, body) {
    const to = this.state.chain.roster.devices(user).map(device => device.key)
    need(to.length > 0, `nobody is called ${user}`) // CM-2.17
    const audience = { address: user, keys: to, ...(to.length > 1 && { one: true }) }
    const lane = JSON.stringify(audience)
    this.seqs.set(lane, (this.seqs.get(lane) ?? 0) + 1) // CM-4.15
    return this.#put(to, { kind: 'message', audience, seq: this.seqs.get(lane), body })
  }

  // #put seals a message and keeps it until the broker has it (CM-8.1).
  #put(to, fields) {
    const { state, session, label } = this
    const now = Date.now()
    const m = {
      id: newMessageID(now), mesh: state.mesh, from: state.key.public, session, label, audience: { keys: to },
      priority: 'next', time: now, expires: now + week, at: state.chain.at, ...fields,
    }
    const frame = { type: 'send', id: m.id, class: m.kind === 'receipt' ? 'receipt' : 'message', priority: m.priority, expires: m.expires }
    let payload
    if (to.length === 1) {
      frame.to = to[0]
      payload = sealDirect(state.key, to[0], m)
    } else {
      const { sealed, boxes } = sealGroup(state.key, to, m)
      Object.assign(frame, { recipients: to.map((key, i) => ({ key, box: b64(boxes[i]) })), one: true })
      payload = sealed
    }
    state.outbox[m.id] = { frame, to, payload: b64(payload) }
    if (frame.class === 'message') state.sent[m.id] = Object.fromEntries(to.map(key => [key, sealedHash(payload)]))
    state.save()
    this.connection.send(frame, payload)
    return m.id
  }

  #resend() { // CM-8.2 to CM-8.4
    for (const [id, { frame, to, payload }] of Object.entries(this.state.outbox)) {
      const why = frame.expires <= Date.now() ? 'expired' : to.every(key => this.state.chain.roster.isMember(key)) ? '' : 'not_member'
      if (!why) {
        this.connection.send(frame, un64(payload))
        continue
      }
      delete this.state.outbox[id]
      this.told({ event: 'ack', id, state: why === 'expired' ? 'expired' : 'refused', why })
    }
  }

  #ack({ ids, state, why }) { // CM-8.6, CM-8.7
    for (const id of ids) {
      delete this.state.outbox[id]
      if (this.state.sent[id]) this.told({ event: 'ack', id, state, why })
    }
    this.state.save()
  }
}
