// Taking what is delivered: opened, judged, kept, and only then received (CM-8.17 to
// CM-8.22). No network and no disk here.
import { Refusal, un64 } from './bytes.mjs'
import { open } from './seal.mjs'

const day = 86_400_000, clockAhead = 600_000

// judge says what becomes of a delivered frame: {state, why, message, until}. state is
// received, refused, or held: received, and not shown before the entries or the time
// are there. Without a message there is nothing to show.
export function judge({ key, mesh, chain, known }, frame, payload, now) {
  let message
  try {
    ({ message } = open(key, mesh, { ...frame, isReceipt: frame.class === 'receipt', box: frame.box ? un64(frame.box) : undefined }, payload, false))
  } catch (e) {
    if (!(e instanceof Refusal)) throw e
    return { state: 'refused', why: 'malformed', class: e.class } // CM-4.32, CM-8.19
  }
  const until = message.expires + day // CM-8.20
  if (known[nameOf(message)]) return { state: 'received', until }
  if (message.expires <= now) return { state: 'refused', why: 'expired' }
  const stands = chain.stands(message.at) // CM-5.52
  if (stands === 'other' && message.kind === 'receipt') return { state: 'refused', why: 'fork' } // CM-5.55
  if (stands !== 'part') return { state: 'held', message, until } // CM-5.54
  if (message.kind !== 'roster' && !chain.roster.isMember(frame.from)) { // CM-4.31, CM-5.53
    return { state: 'refused', why: whyNot(chain.roster, frame.from), class: 'stranger' }
  }
  if (message.time > now + clockAhead) return { state: 'held', message, until } // CM-8.22
  return { state: 'received', message, until }
}

function whyNot(roster, key) {
  const k = roster.keys.get(key)
  if (k?.revoked) return 'revoked'
  return k?.role === 'peer' ? 'pending' : 'not_member'
}

export const nameOf = ({ from, id }) => `${from} ${id}`

// Order marks what is missing or late in a sender's session, audience and priority
// (CM-4.15, CM-8.15). This peer shows at once where another waits (CM-8.16).
export class Order {
  #last = new Map()

  mark({ from, session, audience, priority, seq }) {
    const lane = JSON.stringify([from, session, audience, priority])
    const last = this.#last.get(lane) ?? seq - 1
    this.#last.set(lane, Math.max(last, seq))
    return seq <= last ? { late: true } : seq > last + 1 ? { missing: seq - last - 1 } : {}
  }
}
