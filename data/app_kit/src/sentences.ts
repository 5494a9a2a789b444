import { isSpace } from './characters';

/** The sentences of a text and where each begins; they end with . ! or ? before a space. */
export function sentences(text: string): { text: string; start: number }[] {
  const found: { text: string; start: number }[] = [];
  let start = 0;
  for (let at = 1; at < text.length; at += 1) {
    if (!isSpace(text[at] ?? '') || !'.!?'.includes(text[at - 1] ?? ' ')) continue;
    found.push({ text: text.slice(start, at), start });
    while (at < text.length && isSpace(text[at] ?? '')) at += 1;
    start = at;
  }
  found.push({ text: text.slice(start), start });
  return found;
}
