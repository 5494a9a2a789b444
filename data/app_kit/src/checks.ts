/** The checks that rules name: each gives the spans where its rule is broken; null is the whole text. */
import { isLetter, isSpace, isSymbol, length } from './characters';
import * as expressions from './expressions';
import { emails, numbers } from './personalData';
import { SCORES } from './personaScores';
import { quotations } from './quotations';
import form from './generated/form.json';
import { formOf, hasBody, isTrait, PARTS, traitHeading, type Part, type Report } from './report';
import { regex, RULES, type Rule, type Span } from './rules';
import { sentences } from './sentences';

export type Hit = Span | null;
type TextCheck = (rule: Rule, text: string) => Hit[];
type ReportCheck = (rule: Rule, text: string, report: Report) => Hit[];

const HANGUL = /[가-힣ㄱ-ㅎㅏ-ㅣ]/gu;
const SUSPECT = new RegExp(
  '\\x1b\\[[0-?]*[ -/]*[@-~]|' +
    '[\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ufff9-\\ufffd\\ud800-\\udfff]',
  'gu',
);
const ODD = /[A-Za-z\u00c0-\u10ff\u1200-\u1fff\u3041-\u31ff\u3400-\u9fff\uf900-\ufaff]+[0-9]?/gu;
const HEADING_WORDS = new Set(['Big5', ...form.traits.map((trait) => trait.english)]);

function notComposed(_: Rule, text: string): Hit[] {
  if (text.normalize('NFC') === text) return [];
  for (const match of text.matchAll(/[^\s]+/gu)) {
    if (match[0].normalize('NFC') !== match[0]) return [[match.index, match.index + match[0].length]];
  }
  return [null];
}

function control(_: Rule, text: string): Hit[] {
  return [...text.matchAll(SUSPECT)]
    .filter((match) => !(match[0] === '\u200d' && isEmoji(before(text, match.index)))) // joins emoji into one
    .map((match) => [match.index, match.index + match[0].length]);
}

function before(text: string, at: number): string {
  const pair = text.slice(Math.max(0, at - 2), at);
  return (pair.codePointAt(0) ?? 0) > 0xffff ? pair : pair.slice(-1);
}

function isEmoji(letter: string): boolean {
  return letter === '\ufe0f' || isSymbol(letter);
}

function notKorean(rule: Rule, text: string): Hit[] {
  const letters = [...text].filter(isLetter).length;
  const hangul = text.match(HANGUL)?.length ?? 0;
  return letters && hangul / letters < (rule.bar ?? 0) ? [null] : [];
}

export const TEXT_CHECKS: Record<string, TextCheck> = {
  nfc: notComposed,
  control,
  korean: notKorean,
  substring: expressions.substring,
  pattern: expressions.pattern,
  copula: expressions.copula,
  predicate: expressions.predicate,
  email: (_, text) => emails(text),
  phone: (_, text) => numbers(text, 'phone'),
  'resident-number': (_, text) => numbers(text, 'resident'),
  'bank-number': (_, text) => numbers(text, 'bank'),
};

function order(_: Rule, __: string, report: Report): Hit[] {
  let furthest = -1;
  const found: Hit[] = [];
  for (const part of report.parts) {
    const place = PARTS.indexOf(part.key);
    if (place <= furthest) found.push(heading(part));
    furthest = Math.max(furthest, place);
  }
  return found;
}

function heading(part: Part): Span {
  return [part.start, part.end];
}

function headings(_: Rule, __: string, report: Report): Hit[] {
  const wrong = report.parts.filter((part) => {
    if (!isTrait(part.key)) return part.heading !== formOf(part.key);
    return part.level !== null && part.heading !== traitHeading(part.key, part.level, part.remark);
  });
  return [...wrong.map(heading), ...report.otherHeadings];
}

function preamble(_: Rule, text: string, report: Report): Hit[] {
  const first = report.parts[0];
  if (!report.preamble || !first) return [];
  const start = text.indexOf(report.preamble);
  return [[start, start + report.preamble.length]];
}

function outside(rule: Rule, parts: Part[]): Hit[] {
  return parts
    .filter((part) => !isBetween(rule, length(part.body)))
    .map((part) => [part.bodyStart, part.bodyStart + part.body.length]);
}

function isBetween(rule: Rule, figure: number): boolean {
  return figure >= (rule.bar ?? 0) && figure <= (rule.limit ?? figure);
}

function repeated(_: Rule, __: string, report: Report): Hit[] {
  const seen = new Set<string>();
  const found: Hit[] = [];
  for (const part of report.parts) {
    if (!part.body) continue;
    for (const sentence of sentences(part.body)) {
      const at = part.bodyStart + sentence.start;
      const isLong = length(sentence.text) >= RULES.shortest_repeated;
      if (isLong && seen.has(sentence.text)) found.push([at, at + sentence.text.length]);
      seen.add(sentence.text);
    }
  }
  return found;
}

/** Letters of the rule's pattern, outside headings and quotations, but for its `values`. */
function letters(rule: Rule, text: string, report: Report): Hit[] {
  const found: Hit[] = [];
  for (const odd of text.matchAll(ODD)) {
    if (HEADING_WORDS.has(odd[0])) continue;
    const pattern = regex(rule.pattern ?? '(?!)', 'uy');
    pattern.lastIndex = odd.index;
    const match = pattern.exec(text);
    if (!match || rule.values?.includes(match[0])) continue;
    const places = [...report.parts.map(heading), ...quotations(text)];
    if (places.some(([left, right]) => left <= odd.index && odd.index < right)) continue;
    found.push([odd.index, Math.max(odd.index + odd[0].length, match.index + match[0].length)]);
  }
  return found;
}

function quality(name: string): ReportCheck {
  return (rule, _, report) => {
    const score = report.complete ? (SCORES[name]?.(rule, report) ?? 1) : 1;
    return rule.bar !== undefined && score < rule.bar ? [null] : [];
  };
}

export const REPORT_CHECKS: Record<string, ReportCheck> = {
  required: (rule, text) => (rule.values ?? []).filter((word) => !text.includes(word)).map(() => null),
  sections: (_, __, report) => report.missing.map(() => null),
  order,
  bodies: (_, __, report) =>
    report.parts.filter((part) => (isTrait(part.key) || part.key === 'summary') && !hasBody(part)).map(heading),
  levels: (_, __, report) => report.traits.filter((part) => part.level === null).map(heading),
  headings,
  preamble,
  'section-length': (rule, _, report) => (report.complete ? outside(rule, report.traits) : []),
  'summary-length': (rule, _, report) =>
    report.complete ? outside(rule, report.parts.filter((part) => part.key === 'summary')) : [],
  'report-length': (rule, text, report) => (report.complete && !isBetween(rule, length(text)) ? [null] : []),
  repeated,
  letters,
  ...Object.fromEntries(Object.keys(SCORES).map((name) => [`persona-${name}`, quality(name)])),
};

export const isBlank = (text: string) => [...text].every(isSpace);
