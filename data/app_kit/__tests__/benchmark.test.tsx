import { fireEvent, render, screen, waitFor } from '@testing-library/react-native';
import { BenchmarkScreen, MANIFEST, runBenchmark, type BenchmarkResult } from '../src';
import { nativeMocks, type Native } from './nativeMocks';

jest.mock('llama.rn', () => jest.requireActual<object>('llama.rn/jest/mock'));

let native: Native;
beforeAll(async () => {
  native = await nativeMocks();
});

test('all four targets are measured and held against their limits', async () => {
  const result = await runBenchmark({ modelPath: 'm.gguf', usedMemory: () => Promise.resolve(3e9), appBytes: 1e9 });
  const { targets } = MANIFEST;
  expect(result.figures.map(({ name, limit, verdict }) => [name, limit, verdict])).toEqual([
    ['load', targets.load_seconds, 'kept'],
    ['report', targets.report_seconds, 'kept'],
    ['app', targets.app_bytes, 'kept'],
    ['memory', targets.memory_bytes, 'broken'],
  ]);
  expect(result.model.sha256).toBe(MANIFEST.model.sha256);
});

test('what cannot be measured is said to be so', async () => {
  const { figures } = await runBenchmark({ modelPath: 'm.gguf' });
  expect(figures.find(({ name }) => name === 'memory')).toMatchObject({ value: null, verdict: 'not measured' });
});

test('the screen measures, shows the figures and hands them on', async () => {
  const results: BenchmarkResult[] = [];
  await render(<BenchmarkScreen modelPath="m.gguf" onResult={(result) => results.push(result)} />);
  await fireEvent.press(screen.getByText('측정 시작'));
  await waitFor(() => expect(results).toHaveLength(1));
  expect(screen.getByText('모델 로딩')).toBeTruthy();
  expect(screen.getByText('JSON 공유')).toBeTruthy();
});

test('the screen says what went wrong', async () => {
  native.llamaInitContext.mockRejectedValueOnce(new Error('no such file'));
  await render(<BenchmarkScreen modelPath="missing.gguf" />);
  await fireEvent.press(screen.getByText('측정 시작'));
  await waitFor(() => expect(screen.getByRole('alert')).toHaveTextContent(/no such file/));
});
