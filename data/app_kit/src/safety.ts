/**
 * Checks a report before it is shown: the rules that its model was trained under.
 *
 * `isSafe` is what decides whether a report may be shown at all.
 */
import { isBlank, REPORT_CHECKS, TEXT_CHECKS, type Hit } from './checks';
import { parseReport } from './report';
import { RULES, type Rule, type Severity } from './rules';

export interface Finding {
  rule: string;
  group: Rule['group'];
  severity: Severity;
  message: string;
  suggestion: string;
  /** Where, in UTF-16 units; null when the whole text is meant. */
  start: number | null;
  end: number | null;
}

/** What is wrong with a report, by place. `without` names rules to leave out. */
export function checkReport(text: string, without: readonly string[] = []): Finding[] {
  if (isBlank(text)) return [];
  const report = parseReport(text);
  return check(without, (rule) => {
    const ofReport = REPORT_CHECKS[rule.check];
    return ofReport ? ofReport(rule, text, report) : (TEXT_CHECKS[rule.check]?.(rule, text) ?? unknown(rule));
  });
}

/** What is wrong with a text that a user wrote, such as an answer: characters, markup, personal data. */
export function checkText(text: string, without: readonly string[] = []): Finding[] {
  if (isBlank(text)) return [];
  const others = RULES.rules.filter((rule) => rule.group !== 'text').map((rule) => rule.id);
  return check([...without, ...others], (rule) => TEXT_CHECKS[rule.check]?.(rule, text) ?? unknown(rule));
}

/** Whether a report may be shown: every part is there and nothing in it is an error. */
export function isSafe(text: string): boolean {
  return parseReport(text).complete && !checkReport(text).some((finding) => finding.severity === 'error');
}

function check(without: readonly string[], hits: (rule: Rule) => Hit[]): Finding[] {
  const found = RULES.rules
    .filter((rule) => !without.includes(rule.id))
    .flatMap((rule) =>
      hits(rule)
        .slice(0, RULES.most_findings)
        .map((hit) => finding(rule, hit)),
    );
  return found.filter((one) => !isSaidAlready(one, found)).sort(byPlace);
}

function unknown(rule: Rule): never {
  throw new Error(`the kit has no check ${rule.check} (rule ${rule.id}): export it again with the same version`);
}

function finding(rule: Rule, hit: Hit): Finding {
  const [start, end] = hit ?? [null, null];
  const { group, severity, what: message, suggestion } = rule;
  return { rule: rule.id, group, severity, message, suggestion, start, end };
}

/** A warning on what an error covers adds nothing. */
function isSaidAlready({ group, severity, start, end }: Finding, found: Finding[]): boolean {
  if (severity === 'error' || start === null || end === null) return false;
  return found.some((other) => {
    if (other.severity !== 'error' || other.start === null || other.end === null) return false;
    const holds = other.start <= start && end <= other.end;
    return holds || (other.group === group && other.start < end && start < other.end);
  });
}

function byPlace(one: Finding, other: Finding): number {
  return (one.start ?? 0) - (other.start ?? 0) || (one.rule < other.rule ? -1 : one.rule > other.rule ? 1 : 0);
}
