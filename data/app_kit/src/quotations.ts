/** Phrases in quotation marks, which stand one character before and after them. */
const MARKS = ["''", '""', '‘’', '“”', '「」'];
export const QUOTED = new RegExp(
  MARKS.map(([left = '', right = '']) => `${left}[^${right}\\n]{1,200}${right}`).join('|'),
  'gu',
);

/** The spans of the quotations, marks included. */
export function quotations(text: string): [number, number][] {
  return [...text.matchAll(QUOTED)].map((match) => [match.index, match.index + match[0].length]);
}
