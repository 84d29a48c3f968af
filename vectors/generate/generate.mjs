// Writes the vectors into the folder above, or with --check compares them with what
// stands there. Everything is derived from names, so every run gives the same.

import { readFileSync, writeFileSync } from 'node:fs'
import { sodium } from './forms.mjs'
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
