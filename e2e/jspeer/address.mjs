// Addresses as people type them (CM-2.14 to CM-2.16).
import { refuse } from './bytes.mjs'

const slug = '[a-z0-9][a-z0-9._-]{0,31}'
const form = new RegExp(`^(?:(?<mesh>${slug}):)?(?:(?<key>key-[a-z2-7]{8,52})|(?!key-)(?<user>${slug})(?:@(?<device>${slug}))?(?:/(?<label>${slug}))?` +
  `|/(?<own>${slug})|@(?<tag>${slug})|#(?<channel>${slug})|(?<all>\\*))$`)

// readAddress gives what an address names, and its canonical text.
export function readAddress(typed) {
  const canonical = typed.replace(/[A-Z]/g, c => c.toLowerCase()) // no Unicode table decides
  const { own, ...names } = (form.exec(canonical) ?? refuse('malformed')).groups
  return { ...names, label: names.label ?? own, all: Boolean(names.all), canonical }
}
