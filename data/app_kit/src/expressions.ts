/** Finds what must not be said: the spans of one rule. */
import { quotations } from './quotations';
import { anyOf, matches, regex, type Rule, type Span } from './rules';

/** Characters after an expression in which it may be taken back, and before one that turn its meaning. */
const LONGEST_SENTENCE = 400;
const LONGEST_LEAD = 40;

/** After these, a noun is said of someone: `우울증입니다`. Python asks an analyser; this is its written form. */
const COPULA =
  /["'”’」)\]*）]*(?:[(（][^()\n]{0,40}[)）]["'”’*]*)?\s?(?:입니|이다|이에요|예요|이며|이고|인(?![가-힣])|인데|인가|이었|였|이라|이십|이신|이네|이죠|이지|이군|이므|임을|일(?![가-힣]))/uy;
const STATES = {
  하: /하?(?:합니|해요|해서|하다(?![가-힣])|했|하고|하며|하므로|하네|하죠|하군)/uy,
  없: /(?:습니|어요|다(?![가-힣])|고|으며|었|으므로|네|죠)/uy,
};

export function substring(rule: Rule, text: string): Span[] {
  const spans: Span[] = [];
  for (const word of rule.values ?? []) {
    for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
      spans.push([at, at + word.length]);
    }
  }
  return spans.sort(byPlace);
}

export function pattern(rule: Rule, text: string): Span[] {
  return meant(rule, text, matches(rule.pattern ?? '(?!)', text));
}

/** Approximated: a word of the rule, with the copula written after it. */
export function copula(rule: Rule, text: string): Span[] {
  const found: Span[] = [];
  for (const [start, end] of matches(anyOf(rule.values ?? []), text)) {
    COPULA.lastIndex = end;
    const after = mayBeOther(text, start, end) ? null : COPULA.exec(text);
    if (after) {
      const span: Span = [start, wordEnd(text, end + after[0].length)];
      if (!innocent(rule, text, span) && !takenBack(rule, text, span[1])) found.push(span);
    }
  }
  return found;
}

/** The end of a longer word (`화병`), or of a quoted sentence (`'같이 하자'`). */
function mayBeOther(text: string, start: number, end: number): boolean {
  const before = text.slice(Math.max(0, start - 1), start);
  const closesQuote = /["'”’」]/u.test(text.slice(end, end + 1));
  return (end - start < 2 && /[가-힣]/u.test(before)) || (closesQuote && before === ' ');
}

/** Approximated: an adjective of the rule in a form that states, `확실합니다` and not `확실한`. */
export function predicate(rule: Rule, text: string): Span[] {
  const found: Span[] = [];
  for (const stem of rule.values ?? []) {
    const states = stem.endsWith('하') ? STATES.하 : STATES.없;
    for (const [start, end] of matches(anyOf([stem.replace(/하$/u, '')]), text)) {
      states.lastIndex = end;
      if (/[불비]$/u.test(text.slice(0, start))) continue; // a prefix turns the stem round: 불분명하다
      const after = states.exec(text);
      if (after) found.push([start, wordEnd(text, end + after[0].length)]);
    }
  }
  return meant(rule, text, found.sort(byPlace));
}

function wordEnd(text: string, at: number): number {
  const rest = /^[가-힣]*/u.exec(text.slice(at));
  return at + (rest?.[0].length ?? 0);
}

function byPlace(one: Span, other: Span): number {
  return one[0] - other[0] || one[1] - other[1];
}

function meant(rule: Rule, text: string, spans: Span[]): Span[] {
  const quoted = rule.in_quotes === false ? quotations(text) : [];
  return spans.filter(([start, end]) => {
    const inQuotes = quoted.some(([left, right]) => left < start && end < right);
    return !inQuotes && !innocent(rule, text, [start, end]) && !takenBack(rule, text, end);
  });
}

/** Whether the words before an expression give it another meaning: `꿀 한 병입니다`. */
function innocent(rule: Rule, text: string, [start, end]: Span): boolean {
  return rule.but_not !== undefined && regex(rule.but_not).test(text.slice(Math.max(0, start - LONGEST_LEAD), end));
}

function takenBack(rule: Rule, text: string, end: number): boolean {
  if (rule.unless === undefined) return false;
  const rest = text.slice(end, end + LONGEST_SENTENCE);
  const stop = rest.search(/[.!?\n]/u);
  return regex(rule.unless).test(stop < 0 ? rest : rest.slice(0, stop));
}
