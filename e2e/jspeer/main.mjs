// The program. What happens is printed as one JSON object a line.
//   node main.mjs join FILE USER DEVICE   the link is read from standard input (CM-9.4)
//   node main.mjs run FILE LABEL          reads lines `USER TEXT` and sends them
import fs from 'node:fs'
import readline from 'node:readline'
import { Refusal } from './bytes.mjs'
import { join, Peer } from './peer.mjs'
import { State } from './state.mjs'

const tell = event => console.log(JSON.stringify(event))
const [command, file, ...rest] = process.argv.slice(2)

async function run(label) {
  const peer = new Peer(State.load(file), label, tell)
  for await (const again of attempts()) {
    try {
      await peer.connect()
      again.reset()
      tell({ event: 'connected', members: peer.state.chain.roster.members().length })
      readLines(peer)
    } catch (e) {
      tell({ event: 'failed', message: e.message })
      peer.connection.close()
    }
    const code = await peer.closed
    tell({ event: 'closed', code, revoked: peer.isRevoked() })
    if (code >= 4100) return // CM-10.3: something has to change first
  }
}

// attempts gives the connections' turns, with growing, random pauses between (CM-8.34).
async function * attempts() {
  for (let pause = 100; ; pause = Math.min(pause * 2, 30_000)) {
    yield { reset: () => { pause = 100 } }
    await new Promise(resolve => setTimeout(resolve, pause * (0.5 + Math.random())))
  }
}

let lines
function readLines(peer) {
  lines ??= readline.createInterface({ input: process.stdin }).on('line', line => {
    const [, user, text] = /^(\S+) (.*)$/.exec(line)
    try {
      tell({ event: 'sent', id: peer.send(user, text) })
    } catch (e) {
      if (!(e instanceof Refusal)) throw e
      tell({ event: 'unsent', message: e.message })
    }
  })
}

if (command === 'join') {
  const state = await join(file, fs.readFileSync(0, 'utf8'), ...rest)
  tell({ event: 'joined', member: state.chain.roster.isMember(state.key.public), entries: state.chain.entries.length })
} else {
  await run(...rest)
  process.exit(0)
}
