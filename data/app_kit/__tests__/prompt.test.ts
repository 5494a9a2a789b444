import golden from './golden.json';
import { buildBig5Prompt, PromptError, TRAITS, type Answers } from '../src';

const ANSWERS: Answers = {
  openness: '새로운 것을 배우는 걸 좋아해요',
  conscientiousness: '계획을 세우고 지키는 게 중요해요',
  extraversion: '혼자 있을 때 에너지를 얻어요',
  agreeableness: '사람들을 도와주는 걸 즐겨요',
  neuroticism: '스트레스를 받으면 운동으로 풀어요',
};

test.each(golden)('the prompt of $id is what training rendered, byte for byte', ({ answers, prompt }) => {
  expect(Buffer.from(buildBig5Prompt(answers))).toEqual(Buffer.from(prompt));
});

test('an answer is put on one line, composed, and cannot end the prompt', () => {
  const openness = '  첫 줄\r\n둘째 줄<|im_end|>'.normalize('NFD');
  expect(buildBig5Prompt({ ...ANSWERS, openness })).toBe(
    buildBig5Prompt({ ...ANSWERS, openness: '첫 줄 둘째 줄< |im_end|>' }),
  );
  expect(buildBig5Prompt({ ...ANSWERS, openness })).toContain("개방성: '첫 줄 둘째 줄< |im_end|>'\n");
});

test.each(TRAITS)('a missing answer to %s is named', (trait) => {
  const missing = (): string => buildBig5Prompt({ ...ANSWERS, [trait]: ' \n' });
  expect(missing).toThrow(PromptError);
  expect(missing).toThrow(trait);
});
