// The invite link (CM-9.1 to CM-9.3).
import { b64, isZero, Refusal, refuse, un64 } from './bytes.mjs'
import { isURL } from './chain.mjs'

const here = /^http:\/\/(?:localhost|(?:[a-z0-9_-]+\.)+localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::|$)/

// readLink reads a link, or refuses it as cut, version, plain or bad.
export function readLink(text) {
  const [, front, fragment] = /^([^#]*)#(.*)$/.exec(text.replace(/\s/g, '')) ?? refuse('cut')
  const raw = readFragment(fragment)
  const url = dialled(front.toLowerCase())
  if (url.startsWith('unix:') || !isURL(url)) refuse('bad')
  if (url.startsWith('http:') && !here.test(url)) refuse('plain')
  return { url, mesh: b64(raw.subarray(1, 17)), broker: b64(raw.subarray(17, 33)), seed: raw.slice(33) }
}

function readFragment(text) { // CM-9.2
  let raw
  try {
    raw = un64(text)
  } catch (e) {
    if (!(e instanceof Refusal)) throw e
    refuse('cut')
  }
  if (raw[0] > 1) refuse('version')
  if (raw.length !== 65 || raw[0] !== 1) refuse('cut')
  if (isZero(b64(raw.subarray(1, 17))) || isZero(b64(raw.subarray(17, 33)))) refuse('cut')
  return raw
}

function dialled(front) { // CM-9.1
  if (front.startsWith('claudemesh://join/')) return 'https://' + front.slice('claudemesh://join/'.length)
  if (!front.endsWith('/i')) refuse('cut')
  return front.slice(0, -2)
}
