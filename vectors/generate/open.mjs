// Opens with libsodium what Go made. Reads a JSON list of cases from standard input
// and writes the list of what came out: null where something does not open.

import {
  ENVELOPE, b64, concat, fromSeed, openBox, openContent, pad, equal, shared, sodium, text, unb64, unpad, USE_MESSAGE,
} from './forms.mjs'

// message takes a plaintext apart and checks signature and padding.
function message(plain, sender) {
  const { message, signature } = unpad(plain)
  if (!equal(pad(message, signature), plain)) throw new Error('padding')
  if (signature &&
    !sodium.crypto_sign_verify_detached(signature, concat(text(ENVELOPE + '\0'), message), sender)) {
    throw new Error('signature')
  }
  return { message: b64(message), signed: signature !== null }
}

const cases = {
  keys({ seed }) {
    const p = fromSeed(unb64(seed))
    return { public: b64(p.publicKey), x25519_private: b64(p.curvePrivate), x25519_public: b64(p.curvePublic) }
  },
  shared({ seed, other }) {
    return { shared: b64(shared(fromSeed(unb64(seed)), unb64(other))) }
  },
  direct({ seed, sender, box }) {
    const from = unb64(sender)
    return message(openBox(fromSeed(unb64(seed)), from, USE_MESSAGE, unb64(box)), from)
  },
  group({ seed, sender, box, sealed }) {
    const from = unb64(sender)
    return message(openContent(fromSeed(unb64(seed)), from, unb64(box), unb64(sealed)), from)
  },
  signature({ domain, bytes, sig, key }) {
    return { ok: sodium.crypto_sign_verify_detached(unb64(sig), concat(text(domain + '\0'), unb64(bytes)), unb64(key)) }
  },
}

let input = ''
for await (const chunk of process.stdin) input += chunk
const results = JSON.parse(input).map((item) => {
  try {
    return cases[item.case](item)
  } catch {
    return null
  }
})
process.stdout.write(JSON.stringify(results) + '\n')
