import { fireEvent, render, screen, waitFor } from '@testing-library/react-native';
import { ReportScreen } from '../src';
import form from '../src/generated/form.json';
import golden from './golden.json';
import { RULES } from '../src/rules';
import { nativeMocks, type Native } from './nativeMocks';

jest.mock('llama.rn', () => jest.requireActual<object>('llama.rn/jest/mock'));

const BODY = "'새로운 것을 배우는 걸 좋아해요'라는 말씀에서 따뜻한 마음과 꾸준한 노력이 엿보입니다.";
const REPORT = [
  form.title,
  form.opening,
  ...form.traits.map((trait, place) => `### ${trait.korean} (${trait.english}): 높음\n${place + 1}번째로, ${BODY}`),
  `${form.summary}\n\n여섯째로, ${BODY} 오늘도 응원합니다.`,
].join('\n\n');

let native: Native;
beforeAll(async () => {
  native = await nativeMocks();
});

async function written(text: string, ending: object = { stopped_eos: true }) {
  native.llamaCompletion.mockResolvedValueOnce({ text, tokens_predicted: 9, interrupted: false, timings: {}, ...ending });
  const answers = golden[0]?.answers;
  if (!answers) throw new Error('golden.json is empty');
  await render(<ReportScreen modelPath="m.gguf" answers={answers} />);
  await waitFor(() => expect(screen.getByText('리포트 쓰기')).toBeTruthy());
  await waitFor(() => expect(screen.getByRole('button')).toBeEnabled());
  await fireEvent.press(screen.getByRole('button'));
}

(RULES.name === 'calibrated' ? test : test.skip)('a report that is whole and safe is shown by its sections', async () => {
  await written(REPORT);
  await waitFor(() => expect(screen.getByText('개방성 · 높음')).toBeTruthy());
  expect(screen.queryByRole('alert')).toBeNull();
});

test.each([
  ['a diagnosis', `${REPORT} 당신은 우울증입니다.`, { stopped_eos: true }],
  ['a report that is cut off', REPORT, { stopped_eos: false, stopped_limit: 1 }],
  ['a report without its end', REPORT.slice(0, REPORT.indexOf(form.summary)), { stopped_eos: true }],
])('%s is not shown', async (_, text, ending) => {
  await written(text, ending);
  await waitFor(() => expect(screen.getByRole('alert')).toBeTruthy());
  expect(screen.queryByText('개방성 · 높음')).toBeNull();
  expect(screen.queryByText(/우울증/)).toBeNull();
});
