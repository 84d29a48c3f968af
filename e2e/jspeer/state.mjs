// What a peer keeps on its disk: written whole and synced before it is acted on.
import fs from 'node:fs'
import { b64, un64 } from './bytes.mjs'
import { Chain } from './chain.mjs'
import { newKey } from './keys.mjs'

export class State {
  constructor(file, link) {
    this.file = file
    Object.assign(this, { ...link, key: newKey(), chain: new Chain(link.mesh) })
    this.known = {} // "sender id" to when it may be forgotten (CM-8.20)
    this.inbox = {} // taken and not shown, still sealed (CM-8.17)
    this.outbox = {} // what the broker did not acknowledge (CM-8.1)
    this.sent = {} // message id to recipients with the hash of what each got (CM-4.35)
    this.counter = 0 // of cards (CM-7.42)
  }

  save() {
    const { url, mesh, broker, known, inbox, outbox, sent, counter, chain } = this
    const text = JSON.stringify({
      url, mesh, broker, known, inbox, outbox, sent, counter,
      seed: b64(this.key.seed), entries: chain.objects, head: chain.headObject,
    })
    const fd = fs.openSync(this.file + '.new', 'w', 0o600)
    fs.writeSync(fd, text)
    fs.fsyncSync(fd)
    fs.closeSync(fd)
    fs.renameSync(this.file + '.new', this.file)
  }

  static load(file) {
    const { seed, entries, head, ...rest } = JSON.parse(fs.readFileSync(file))
    const state = Object.assign(new State(file, rest), rest)
    state.key = newKey(un64(seed))
    if (head) state.chain.take(0, entries, head)
    return state
  }
}
