/** What the rules take for a space, a digit, a letter: Python's tables, so that both decide alike. */
import tables from './generated/characters.json';

type Ranges = number[][];

function within(ranges: Ranges, point: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const [first = 0, last = 0] = ranges[middle] ?? [];
    if (point < first) high = middle - 1;
    else if (point > last) low = middle + 1;
    else return true;
  }
  return false;
}

/** Each takes one character. */
export const isSpace = (letter: string) => within(tables.spaces, pointOf(letter));
export const isDigit = (letter: string) => within(tables.digits, pointOf(letter));
export const isLetter = (letter: string) => within(tables.letters, pointOf(letter));
export const isAlphanumeric = (letter: string) => within(tables.alphanumeric, pointOf(letter));
export const isSymbol = (letter: string) => within(tables.symbols, pointOf(letter));

function pointOf(letter: string): number {
  return letter.codePointAt(0) ?? -1;
}

/** The number of characters, not of UTF-16 units. */
export function length(text: string): number {
  let count = 0;
  for (let at = 0; at < text.length; at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1) count += 1;
  return count;
}

/** Where the text begins and ends without the space around it. Both are `text.length` for blanks. */
export function stripped(text: string): [number, number] {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text[start] ?? '')) start += 1;
  if (start === end) return [end, end];
  while (isSpace(text[end - 1] ?? '')) end -= 1;
  return [start, end];
}

export function strip(text: string): string {
  return text.slice(...stripped(text));
}

/** The words between any spaces. */
export function words(text: string): string[] {
  const found: string[] = [];
  let start = -1;
  for (let at = 0; at <= text.length; at += 1) {
    const inWord = at < text.length && !isSpace(text[at] ?? '');
    if (inWord && start < 0) start = at;
    if (!inWord && start >= 0) {
      found.push(text.slice(start, at));
      start = -1;
    }
  }
  return found;
}
