/** The rules of the training data, exported: what a report must hold to. */
import data from './generated/rules.json';

/** [start, end) in UTF-16 units. */
export type Span = [number, number];
export type Severity = 'error' | 'warning';
export type Group = 'text' | 'form' | 'safety' | 'style' | 'persona';

export interface Rule {
  id: string;
  group: Group;
  severity: Severity;
  /** The name of the check that decides; see checks.ts. */
  check: string;
  what: string;
  suggestion: string;
  values?: string[];
  by_trait?: Record<string, string[]>;
  bar?: number;
  limit?: number;
  pattern?: string;
  unless?: string;
  but_not?: string;
  in_quotes?: boolean;
}

interface RuleSet {
  name: string;
  about: string;
  most_findings: number;
  shortest_repeated: number;
  rules: Rule[];
  /** Rules that Python decides with a Korean analyser, and the app by the written form. */
  approximated: Record<string, string>;
  /** Rules that the app does not check, with the reason. */
  left_out: Record<string, string>;
}

export const RULES = data as RuleSet;

const compiled = new Map<string, RegExp>();

/** A pattern of a rule, made once. `y` looks only at one place, `g` everywhere. */
export function regex(pattern: string, flags: 'u' | 'gu' | 'uy' = 'u'): RegExp {
  const key = `${flags}/${pattern}`;
  let made = compiled.get(key);
  if (!made) compiled.set(key, (made = new RegExp(pattern, flags)));
  made.lastIndex = 0;
  return made;
}

/** Every match of a pattern; the ends are UTF-16 units. */
export function matches(pattern: string, text: string): Span[] {
  return [...text.matchAll(regex(pattern, 'gu'))].map((match) => [match.index, match.index + match[0].length]);
}

/** A pattern for any of the words, the longest first. */
export function anyOf(values: readonly string[]): string {
  const sorted = [...new Set(values)].sort((one, other) => other.length - one.length || (one < other ? -1 : 1));
  return sorted.map((word) => word.replace(/[$()*+./?[\\\]^{|}]/gu, '\\$&')).join('|');
}
