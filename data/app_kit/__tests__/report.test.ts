import { checkReport, checkText, isSafe, parseReport } from '../src';
import form from '../src/generated/form.json';
import { RULES } from '../src/rules';

const BODY = "'새로운 것을 배우는 걸 좋아해요'라는 말씀에서 따뜻한 마음과 꾸준한 노력이 함께 엿보입니다.";

function report(levels: string[], body = BODY): string {
  const sections = form.traits.map(
    (trait, place) => `### ${trait.korean} (${trait.english}): ${levels[place]}\n${place + 1}번째 답변입니다. ${body}`,
  );
  return [form.title, form.opening, ...sections, `${form.summary}\n\n여섯째로, ${body} ${'응원합니다. '.repeat(1)}`].join('\n\n');
}

/** The guide's literal rule set forbids words that the calibrated one knows to be harmless. */
const calibrated = RULES.name === 'calibrated' ? test : test.skip;

const LEVELS = ['높음', '매우 높음', '매우 낮음', '다소 높음', '중간'];

test('a whole report gives its levels and sections', () => {
  const read = parseReport(report(LEVELS));
  expect(read.complete).toBe(true);
  expect(Object.values(read.levels)).toEqual(LEVELS);
  expect(read.traits.map((part) => part.key)).toEqual(form.traits.map((trait) => trait.key));
  for (const part of read.parts) expect(report(LEVELS).slice(part.start, part.end)).toBe(part.heading);
});

test('other spacing, bold marks and full-width punctuation are read alike', () => {
  const text = report(LEVELS).replace('### 개방성 (Openness): 높음', '####  **개방성（Openness）： 높음 （내향성）** ');
  expect(parseReport(text).levels.openness).toBe('높음');
  expect(parseReport(text).traits[0]?.remark).toBe('내향성');
});

test.each(['', '\u0000', '###', '## ', '\ud800', '### 개방성: ', 'a'.repeat(100_000), '('.repeat(5_000)])(
  'rubbish is an incomplete report: %#',
  (text) => {
    expect(parseReport(text).complete).toBe(false);
    expect(isSafe(text)).toBe(false);
  },
);

test('a report cut off in the middle is not shown', () => {
  const text = report(LEVELS);
  expect(isSafe(text.slice(0, text.indexOf(form.summary)))).toBe(false);
});

calibrated.each(['당신은 우울증입니다.', '공황장애 증상이 있습니다.', '진단을 내립니다.', '치료가 필요합니다.', '비정상적으로 예민합니다.'])(
  'a diagnosis is found and the report is not shown: %s',
  (sentence) => {
    const text = `${report(LEVELS)} ${sentence}`;
    const found = checkReport(text).filter((finding) => finding.group === 'safety' && finding.severity === 'error');
    expect(found).not.toEqual([]);
    expect(text.slice(found[0]?.start ?? 0).length).toBeLessThanOrEqual(sentence.length);
    expect(isSafe(text)).toBe(false);
  },
);

calibrated('what a sentence takes back is no diagnosis', () => {
  expect(isSafe(`${report(LEVELS)} 이 리포트는 진단이 아닙니다.`)).toBe(true);
});

calibrated('personal data in an answer is found', () => {
  expect(checkText('제 번호는 010-1234-5678이에요').map((finding) => finding.rule)).toEqual(['phone-number']);
});

test('every rule is known by its check, and those decided by the written form are named', () => {
  expect(() => checkReport(report(LEVELS))).not.toThrow();
  for (const id of Object.keys(RULES.approximated)) expect(RULES.rules.map((rule) => rule.id)).toContain(id);
});
