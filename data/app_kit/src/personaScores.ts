/** The five persona qualities of a complete report, 0 to 1, by the signs that the rules name. */
import { length } from './characters';
import { quotations } from './quotations';
import type { Report } from './report';
import { regex, type Rule } from './rules';
import { sentences } from './sentences';

const LONGEST_SENTENCE = 130;

export const SCORES: Record<string, (rule: Rule, report: Report) => number> = {
  expert: (rule, report) => report.traits.filter((part) => touches(rule, part.key, part.body)).length / 5,
  empathic: (rule, report) => sectionsWith(rule, report, 3) / 3,
  insightful: (rule, report) => {
    const touched = Object.keys(rule.by_trait ?? {}).filter((trait) => touches(rule, trait, report.summary));
    return sectionsWith(rule, report, 3) / 6 + Math.min(2, touched.length) / 4;
  },
  careful: (rule, report) => sectionsWith(rule, report, 4) / 4,
  structured: (_, report) => {
    const figures = report.traits.flatMap((part) => {
      const said = sentences(part.body).map(({ text }) => text);
      return [
        quotations(part.body).length > 0,
        said.length >= 1 && said.length <= 5,
        Math.max(...said.map(length)) <= LONGEST_SENTENCE,
      ];
    });
    return figures.length ? figures.filter(Boolean).length / figures.length : 0;
  },
};

function touches(rule: Rule, trait: string, text: string): boolean {
  return (rule.by_trait?.[trait] ?? []).some((word) => text.includes(word));
}

function sectionsWith(rule: Rule, report: Report, enough: number): number {
  const bodies = [...report.traits, ...report.parts.filter((part) => part.key === 'summary')].map((part) => part.body);
  return Math.min(enough, bodies.filter((body) => regex(rule.pattern ?? '(?!)').test(body)).length);
}
