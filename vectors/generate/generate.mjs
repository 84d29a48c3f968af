// Writes the vectors into the folder above, or with --check compares them with what
// stands there. Everything is derived from names, so every run gives the same.

import { readFileSync, writeFileSync } from 'node:fs'
import { cardVectors, configVectors, helloVectors, welcomeVectors } from './bodies.mjs'
import { sodium } from './forms.mjs'
import { addressVectors, frameVectors } from './frames.mjs'
import { keyVectors, signatureVectors, numberVectors } from './keys.mjs'
import { boxVectors, directVectors, groupVectors } from './seals.mjs'
import { jsonVectors, messageVectors } from './texts.mjs'

const made = `libsodium ${sodium.SODIUM_VERSION_STRING} (libsodium-wrappers 0.8.4)`
const files = {
  'keys.json': keyVectors,
  'signatures.json': signatureVectors,
  'numbers.json': numberVectors,
  'box.json': boxVectors,
  'direct.json': directVectors,
  'group.json': groupVectors,
  'json.json': jsonVectors,
  'message.json': messageVectors,
  'frames.json': frameVectors,
  'hellos.json': helloVectors,
  'welcomes.json': welcomeVectors,
  'cards.json': cardVectors,
  'addresses.json': addressVectors,
  'client/config.json': configVectors,
}

let different = 0
for (const [file, make] of Object.entries(files)) {
  const { about, ...rest } = make()
  const content = JSON.stringify({ about, made_by: made, ...rest }, null, 1) + '\n'
  const path = new URL('../' + file, import.meta.url)
  if (!process.argv.includes('--check')) {
    writeFileSync(path, content)
  } else if (readFileSync(path, 'utf8') !== content) {
    console.error(`${file} is not what generate.mjs makes`)
    different++
  }
}
process.exit(different)
