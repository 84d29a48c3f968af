// Who belongs: the state that all members compute from the same entries (CM-5.20 to
// CM-5.40). An entry is judged in the state before it.
import { need, Refusal, refuse } from './bytes.mjs'

const maxDevices = 16, maxInvites = 16, maxEntries = 256, lapse = 604_800_000

export class Roster {
  keys = new Map() // every key that the mesh knows, with its role (CM-5.20)
  names = new Set() // users' names that belong to somebody (CM-5.32)
  signed = new Map() // entries by a user's devices below admin (CM-5.39)
  broker = ''
  time = 0

  clone() { return Object.assign(new Roster(), structuredClone({ ...this })) }

  // apply takes an entry and tells whether it counts.
  apply(e) {
    if (e.class === 'unknown' && this.rank(e.by) >= 3) refuse('stop', 'update: an owner signed what this version does not know') // CM-5.11
    if (e.class !== 'ok') return false
    try {
      this.check(e)
    } catch (why) {
      if (!(why instanceof Refusal)) throw why
      return false // CM-5.13
    }
    this.#count(e)
    return true
  }

  rank(key) { // CM-5.21
    const k = this.keys.get(key)
    if (!k || k.revoked) return 0
    return k.role === 'owner' || k.role === 'recovery' || k.role === 'peer' && k.member ? k.rank : 0
  }

  // user is the user that a member's key is a device of.
  user(key) {
    const k = this.keys.get(key)
    return k?.role === 'peer' && k.member && !k.revoked ? k.user : null
  }

  isMember(key) { return this.user(key) !== null }

  #peers(member) {
    return [...this.keys].filter(([, k]) => k.role === 'peer' && k.member === member && !k.revoked)
      .map(([key, k]) => ({ key, user: k.user, device: k.device, rank: k.rank }))
  }
  members() { return this.#peers(true) }
  waiting() { return this.#peers(false).filter(p => this.time < this.keys.get(p.key).joined + lapse) }
  owners() { return [...this.keys].filter(([, k]) => k.role === 'owner' && !k.revoked).map(([key]) => key) }
  devices(user) { return this.members().filter(m => m.user === user) }

  check(e) {
    need(e.time >= this.time, 'before the last entry') // CM-5.14
    const self = e.type === 'revoke' && e.keys.includes(e.by)
    need(e.n === 0 || e.type === 'join' || self || this.rank(e.by) > 0, 'no rank') // CM-5.21
    for (const key of brought(e)) {
      need(!this.keys.has(key) || e.type === 'heal' && this.keys.get(key).role === 'broker', 'a key enters once') // CM-5.20
    }
    if (e.type !== 'join' && e.type !== 'revoke' && this.rank(e.by) === 1) {
      need((this.signed.get(this.user(e.by)) ?? 0) < maxEntries, 'too many entries') // CM-5.39
    }
    this['check_' + e.type]?.(e)
  }

  check_broker(e) { need([2, 3].includes(this.rank(e.by)), 'where to dial') } // CM-5.23
  check_heal(e) { need(this.rank(e.by) >= 3, 'heals are by owners') } // CM-5.40

  check_role(e) {
    const by = this.rank(e.by)
    if (e.rank === 3) return need(by >= 3, 'owners are named by owners') // CM-5.24
    need(this.isMember(e.key) && by > this.rank(e.key) && by > e.rank, 'a rank is given from above') // CM-5.25
  }

  // mayInvite tells whether a key may make such an invite now (CM-5.26).
  mayInvite(by, invite) {
    const rank = this.rank(by)
    return rank >= 2 && invite.rank < rank || rank > 0 && invite.user !== '' && invite.user === this.user(by)
  }

  isOpen(invite, time) { // CM-5.28
    return !invite.revoked && invite.left > 0 && time < invite.expires && this.mayInvite(invite.by, invite)
  }

  check_invite(e) {
    need(this.mayInvite(e.by, e), 'may not invite so')
    const user = this.user(e.by)
    const open = [...this.keys.values()].filter(k => k.role === 'invite' && this.user(k.by) === user && this.isOpen(k, e.time))
    need(user === null || open.length < maxInvites, 'too many invites') // CM-5.27
  }

  check_join(e) { // CM-5.29
    const invite = this.keys.get(e.by)
    need(invite?.role === 'invite' && this.isOpen(invite, e.time), 'no open invite')
    need((invite.user === '' || invite.user === e.user) && invite.kinds.includes(e.kind), 'the invite is for others')
    this.#checkDevice(e)
  }

  #checkDevice({ user, device }) { // CM-5.30
    const devices = this.devices(user)
    need(devices.length < maxDevices && !devices.some(d => d.device === device), 'the devices of the user')
  }

  // yeses lists who must say yes to a join now (CM-5.31): tests of a key.
  #yeses(join) {
    const invite = this.keys.get(join.invite)
    const isAdmin = key => this.rank(key) >= 2
    const own = key => this.user(key) === join.user
    const out = []
    const ownInvite = invite.user === join.user && this.user(invite.by) === join.user
    if (this.names.has(join.user) && !ownInvite) out.push(this.devices(join.user).length > 0 ? own : isAdmin)
    if (invite.approve) out.push(isAdmin)
    return out
  }

  check_admit(e) { // CM-5.34
    const join = this.keys.get(e.peer)
    need(join?.role === 'peer' && !join.member && !join.revoked, 'no pending join')
    need(e.time < join.joined + lapse, 'it lapsed') // CM-5.33
    need(this.#yeses(join).some(yes => yes(e.by)), 'no yes that is needed')
    if (this.#enough(join, e.by)) this.#checkDevice(join)
    else need(!join.yes.includes(e.by), 'said yes before')
  }

  #enough(join, by) { // CM-5.35
    return this.#yeses(join).every(yes => [...join.yes, by].some(yes))
  }

  // mayRevoke is about one key in the state now (CM-5.36).
  mayRevoke(by, key) {
    const k = this.keys.get(key)
    if (!k || k.revoked || k.role === 'broker') return false
    if (key === by && k.role !== 'invite') return true
    const user = k.role === 'invite' ? this.keys.get(k.by)?.user : k.user
    return k.rank < this.rank(by) || user !== undefined && user === this.user(by) && k.rank <= this.rank(by)
  }

  check_revoke(e) { need(e.keys.every(key => this.mayRevoke(e.by, key)), 'may not revoke that') }

  #count(e) {
    if (e.type !== 'join' && e.type !== 'revoke' && this.rank(e.by) === 1) {
      const user = this.user(e.by)
      this.signed.set(user, (this.signed.get(user) ?? 0) + 1)
    }
    this['count_' + e.type]?.(e)
    this.time = e.time
  }

  count_genesis(e) { // CM-5.22
    this.keys.set(e.by, { role: 'owner', rank: 3 })
    this.keys.set(e.recovery, { role: 'recovery', rank: 4 })
    this.count_heal(e)
  }
  count_heal(e) {
    this.broker = e.broker
    this.keys.set(e.broker, { role: 'broker' })
  }
  count_role(e) {
    if (e.rank === 3) this.keys.set(e.key, { role: 'owner', rank: 3 })
    else this.keys.get(e.key).rank = e.rank
  }
  count_invite(e) {
    const { rank, user, expires, uses, kinds, approve, by } = e
    this.keys.set(e.key, { role: 'invite', rank, user, expires, left: uses, kinds, approve, by })
  }
  count_join(e) {
    const invite = this.keys.get(e.by)
    invite.left--
    const join = { role: 'peer', user: e.user, device: e.device, rank: invite.rank, invite: e.by, joined: e.time, yes: [], member: false }
    this.keys.set(e.peer, join)
    if (this.#yeses(join).length === 0) this.#admit(join)
  }
  #admit(join) {
    join.member = true
    this.names.add(join.user)
  }
  count_admit(e) {
    const join = this.keys.get(e.peer)
    if (this.#enough(join, e.by)) this.#admit(join)
    else join.yes.push(e.by)
  }
  count_revoke(e) { // CM-5.37
    const links = e.keys.filter(key => key !== e.by && this.keys.get(key).role === 'peer')
      .map(key => this.keys.get(key).invite).filter(invite => this.mayRevoke(e.by, invite))
    for (const key of [...e.keys, ...links]) this.keys.get(key).revoked = true
  }
}

// brought lists the keys that an entry brings into the mesh (CM-5.20).
function brought(e) {
  switch (e.type) {
    case 'genesis': return [e.by, e.recovery, e.broker]
    case 'role': return e.rank === 3 ? [e.key] : []
    case 'invite': return [e.key]
    case 'join': return [e.peer]
    case 'heal': return [e.broker]
    default: return []
  }
}
