/**
 * Reads a report: its parts, their order, the level of each trait.
 *
 * Tolerant of spacing, full-width punctuation, bold marks and the number of `#`; `complete` says
 * whether everything is there. Positions are UTF-16 units, as JavaScript slices.
 */
import { isAlphanumeric, isSpace, strip, stripped, words } from './characters';
import form from './generated/form.json';
import type { Trait } from './prompt';

export interface Part {
  /** `title`, `opening`, a trait's key, or `summary`. */
  key: string;
  start: number;
  end: number;
  heading: string;
  body: string;
  bodyStart: number;
  /** What stands after the colon of a trait's heading; null without a colon. */
  writtenLevel: string | null;
  /** The level of the scale that it names; null where it names none. */
  level: string | null;
  /** What follows the level in parentheses. */
  remark: string | null;
}

export interface Report {
  parts: Part[];
  preamble: string;
  otherHeadings: [number, number][];
  missing: string[];
  /** The sections of the traits, in the order in which they stand. */
  traits: Part[];
  levels: Partial<Record<Trait, string>>;
  summary: string;
  complete: boolean;
}

export const LEVELS: readonly string[] = form.levels;
export const PARTS: readonly string[] = form.parts;

const KEYS = new Map(form.traits.map((trait) => [trait.korean, trait.key]));
const HEADINGS = new Map(form.traits.map((trait) => [trait.key, `### ${trait.korean} (${trait.english})`]));
const TRAIT_HEADING = new RegExp(`^(${[...KEYS.keys()].join('|')}) ?(?:\\([^()]*\\))? ?(?:: ?(.*))?$`, 'u');
const LEVEL = new RegExp(`^(${form.levels.join('|')}) ?(?:\\( ?([^()]*?) ?\\))?$`, 'u');
const PLAIN: Record<string, string> = { '（': '(', '）': ')', '：': ':', '*': ' ' };
const FIRST_OF_OPENING = form.opening.slice(0, 1);
const STARTS = ['#', form.opening.split(' ')[0] ?? ''];

export function isTrait(key: string): key is Trait {
  return HEADINGS.has(key);
}

/** The line that a part of the form begins with; for a trait, without its level. */
export function formOf(key: string): string {
  return HEADINGS.get(key) ?? { title: form.title, summary: form.summary }[key] ?? form.opening;
}

export function traitHeading(key: string, level: string, remark: string | null): string {
  return `${formOf(key)}: ${level}${remark ? ` (${remark})` : ''}`;
}

export function hasBody(part: Part): boolean {
  return [...part.body].some(isAlphanumeric);
}

/** Never throws: of rubbish, every part is missing. */
export function parseReport(text: string): Report {
  const found: Heading[] = [];
  const otherHeadings: [number, number][] = [];
  let titleSeen = false;
  let after = 0;
  for (const line of text.split('\n')) {
    const lineStart = after;
    after += line.length + 1;
    const first = line.slice(0, 1);
    if (first !== '#' && first !== FIRST_OF_OPENING && !(first && isSpace(first))) continue;
    const [from, to] = stripped(line);
    const content = line.slice(from, to);
    if (!STARTS.some((start) => content.startsWith(start))) continue;
    const span = { start: lineStart + from, end: lineStart + to };
    const heading = readLine(content, titleSeen);
    if (heading) {
      titleSeen = titleSeen || heading.key === 'title';
      found.push({ ...heading, ...span });
    } else if (content.startsWith('#')) otherHeadings.push([span.start, span.end]);
  }
  const parts = found.map((heading, place) => withBody(text, heading, found[place + 1]?.start ?? text.length));
  return { parts, preamble: strip(text.slice(0, found[0]?.start)), otherHeadings, ...whole(parts) };
}

function whole(parts: Part[]): Omit<Report, 'parts' | 'preamble' | 'otherHeadings'> {
  const traits = parts.filter((part) => isTrait(part.key));
  const levels: Partial<Record<Trait, string>> = {};
  for (const { key, level } of traits) if (isTrait(key) && level !== null) levels[key] ??= level;
  return {
    missing: PARTS.filter((key) => !parts.some((part) => part.key === key)),
    traits,
    levels,
    summary: parts.find((part) => part.key === 'summary')?.body ?? '',
    complete:
      parts.length === PARTS.length &&
      parts.every((part, place) => part.key === PARTS[place]) &&
      traits.every((part) => part.level !== null) &&
      parts.every((part) => ['title', 'opening'].includes(part.key) || hasBody(part)),
  };
}

type Line = Pick<Part, 'key' | 'heading' | 'writtenLevel' | 'level' | 'remark'>;
type Heading = Line & { start: number; end: number };

function readLine(line: string, titleSeen: boolean): Line | null {
  const plain = { heading: line, writtenLevel: null, level: null, remark: null };
  if (!line.startsWith('#')) {
    return titleSeen && words(line).join(' ').startsWith(form.opening) ? { key: 'opening', ...plain } : null;
  }
  const heading = words(line.replace(/^#+/u, '').replace(/[（）：*]/gu, (sign) => PLAIN[sign] ?? sign)).join(' ');
  const compact = heading.replace(/[#: ]+$/u, '').replace(/ /gu, '');
  if (compact === wordsOf(form.title)) return { key: 'title', ...plain };
  if (compact === wordsOf(form.summary)) return { key: 'summary', ...plain };
  const [, korean = '', written] = TRAIT_HEADING.exec(heading) ?? [];
  const key = KEYS.get(korean);
  if (key === undefined) return null;
  const [, level = null, remark = null] = (written ? LEVEL.exec(strip(written)) : null) ?? [];
  return { key, heading: line, writtenLevel: written ?? null, level, remark };
}

function wordsOf(heading: string): string {
  return heading.replace(/^#+/u, '').replace(/ /gu, '');
}

function withBody(text: string, heading: Heading, following: number): Part {
  const after = text.slice(heading.end, following);
  const [from, to] = stripped(after);
  return { ...heading, body: after.slice(from, to), bodyStart: heading.end + (from === to ? 0 : from) };
}
