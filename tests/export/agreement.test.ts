/** Copied into the kit by test_agreement.py, with what Python found in corpus.json. */
import corpus from './corpus.json';
import { checkReport, checkText } from '../src';

interface Text {
  id: string;
  role: string;
  text: string;
  /** Rule and span in characters, by the rules that are carried exactly. */
  exact: [string, number | null, number | null][];
  /** The rules that Python finds among those that are approximated here. */
  approximated: string[];
}

const { texts, approximated } = corpus as unknown as { texts: Text[]; approximated: string[] };

/** UTF-16 units as Python counts: characters. */
function characters(text: string, at: number | null): number | null {
  return at === null ? null : [...text.slice(0, at)].length;
}

test.each(texts)('$id', ({ role, text, exact }) => {
  const found = role === 'assistant' ? checkReport(text, approximated) : checkText(text, approximated);
  const placed = found.map(({ rule, start, end }) => [rule, characters(text, start), characters(text, end)]);
  expect(placed).toEqual(exact);
});

test('the approximated rules find what the analyser finds, and nothing in what is good', () => {
  const counts: Record<string, Record<string, string[]>> = {};
  for (const { id, role, text, approximated: wanted } of texts) {
    if (role !== 'assistant') continue;
    const found = new Set(checkReport(text).map(({ rule }) => rule));
    for (const rule of approximated) {
      const kind = wanted.includes(rule) ? (found.has(rule) ? 'found' : 'missed') : found.has(rule) ? 'false' : 'right';
      ((counts[rule] ??= {})[kind] ??= []).push(id);
    }
  }
  for (const [rule, kinds] of Object.entries(counts)) {
    console.info(rule, Object.entries(kinds).map(([kind, ids]) => `${kind} ${ids.length}`).join(', '));
    expect({ rule, missed: kinds.missed ?? [], false: kinds.false ?? [] }).toEqual({ rule, missed: [], false: [] });
  }
});
