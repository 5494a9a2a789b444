import { act, renderHook } from '@testing-library/react-native';
import { AppState } from 'react-native';
import { buildBig5Prompt, useOnDeviceSLLM, type SLLMConfig } from '../src';
import { nativeMocks, type Native } from './nativeMocks';

jest.mock('llama.rn', () => jest.requireActual<object>('llama.rn/jest/mock'));

let native: Native;

const CONFIG: SLLMConfig = {
  modelPath: 'models/qwen2-1.5b-big5.Q4_K_M.gguf',
  contextLength: 2048,
  temperature: 0.7,
};
const PROMPT = buildBig5Prompt({
  openness: '새로운 것을 배우는 걸 좋아해요',
  conscientiousness: '계획을 세우고 지키는 게 중요해요',
  extraversion: '혼자 있을 때 에너지를 얻어요',
  agreeableness: '사람들을 도와주는 걸 즐겨요',
  neuroticism: '스트레스를 받으면 운동으로 풀어요',
});

async function hook(config: SLLMConfig = CONFIG) {
  return renderHook((given: SLLMConfig) => useOnDeviceSLLM(given), { initialProps: config });
}

async function loaded(config: SLLMConfig = CONFIG) {
  const rendered = await hook(config);
  await act(() => rendered.result.current.loadModel());
  expect(rendered.result.current.error).toBeNull();
  return rendered;
}

/** A completion that goes on until it is asked to stop. */
function endless() {
  let end: (interrupted: boolean) => void = () => undefined;
  native.llamaCompletion.mockImplementationOnce(
    (_context: number, _params: object, onToken: (data: { token: string }) => void) =>
      new Promise((resolve) => {
        onToken({ token: '## Big5' });
        end = (interrupted) => resolve({ text: '## Big5', interrupted, tokens_predicted: 3, timings: {} });
      }),
  );
  native.llamaStopCompletion.mockImplementationOnce(() => {
    end(true);
    return Promise.resolve();
  });
}

beforeAll(async () => {
  native = await nativeMocks();
});

describe('SLLM Integration Tests', () => {
  it('should load model within 5 seconds', async () => {
    const { result } = await hook();
    const started = Date.now();
    await act(() => result.current.loadModel());
    expect(Date.now() - started).toBeLessThan(5000);
    expect(result.current.isLoading).toBe(false);
    expect(result.current.error).toBe(null);
    expect(result.current.model).toBeTruthy();
    expect(result.current.progress).toBe(100);
  });

  it('should generate report within 15 seconds', async () => {
    const { result } = await loaded();
    const started = Date.now();
    let response = '';
    await act(async () => {
      response = await result.current.generateText(PROMPT);
    });
    expect(Date.now() - started).toBeLessThan(15000);
    expect(response).toBe('*giggles*');
    expect(result.current.text).toBe(' *giggles*'); // as the mock streams it
    expect(result.current.isGenerating).toBe(false);
    expect(result.current.error).toBe(null);
  });

  it('should handle model loading errors gracefully', async () => {
    native.llamaInitContext.mockRejectedValueOnce(new Error('failed to open the file'));
    const { result } = await hook({ ...CONFIG, modelPath: 'invalid/model/path.gguf' });
    await act(() => result.current.loadModel());
    expect(result.current.isLoading).toBe(false);
    expect(result.current.error).toMatchObject({ code: 'load-failed' });
    expect(result.current.error?.message).toContain('failed to open the file');
    expect(result.current.model).toBeFalsy();
  });
});

describe('generation', () => {
  it('gives llama.rn the prompt as it is, with the stop strings and the sampling of the manifest', async () => {
    const { result } = await loaded();
    await act(() => result.current.generateText(PROMPT));
    const [, params] = native.llamaCompletion.mock.lastCall as [number, Record<string, unknown>];
    expect(params).toMatchObject({ prompt: PROMPT, temperature: 0.7, ignore_eos: false });
    expect(params.stop).toContain('<|im_end|>');
    expect(params).not.toHaveProperty('messages');
  });

  it('stops and gives what there is', async () => {
    const { result } = await loaded();
    endless();
    let done: unknown;
    await act(async () => {
      const writing = result.current.generate(PROMPT);
      await Promise.resolve().then(() => undefined);
      await new Promise(setImmediate);
      await result.current.stop();
      done = await writing;
    });
    expect(done).toMatchObject({ ended: 'stopped', text: '## Big5' });
    expect(result.current.isGenerating).toBe(false);
  });

  it('writes one answer at a time', async () => {
    const { result } = await loaded();
    endless();
    await act(async () => {
      const first = result.current.generate(PROMPT);
      await expect(result.current.generate(PROMPT)).rejects.toMatchObject({ code: 'busy' });
      await new Promise(setImmediate);
      await result.current.stop();
      await first;
    });
  });

  it('ends at the time limit and keeps what was written', async () => {
    const { result } = await loaded({ ...CONFIG, generationTimeoutMs: 20 });
    endless();
    await act(async () => {
      await expect(result.current.generateText(PROMPT)).rejects.toMatchObject({
        code: 'generation-timeout',
        partial: '## Big5',
      });
    });
    expect(result.current.error).toMatchObject({ code: 'generation-timeout' });
    expect(native.llamaStopCompletion).toHaveBeenCalled();
  });

  it('refuses a prompt that leaves no room for the answer', async () => {
    const { result } = await loaded();
    native.llamaTokenize.mockResolvedValueOnce({ tokens: new Array<number>(2000).fill(1) });
    native.llamaCompletion.mockClear();
    await act(async () => {
      await expect(result.current.generateText(PROMPT)).rejects.toMatchObject({ code: 'prompt-too-long' });
    });
    expect(native.llamaCompletion).not.toHaveBeenCalled();
  });

  it('says that no model is loaded', async () => {
    const { result } = await hook();
    await act(async () => {
      await expect(result.current.generateText(PROMPT)).rejects.toMatchObject({ code: 'not-loaded' });
    });
  });

  it('stops when the app goes into the background', async () => {
    const listen = jest.spyOn(AppState, 'addEventListener');
    const { result } = await loaded();
    const [, told] = listen.mock.lastCall ?? [];
    endless();
    let done: unknown;
    await act(async () => {
      const writing = result.current.generate(PROMPT);
      await new Promise(setImmediate);
      told?.('background');
      done = await writing;
    });
    expect(done).toMatchObject({ ended: 'stopped' });
  });
});

describe('loading and letting go', () => {
  it('loads once, however often it is asked', async () => {
    const { result } = await hook();
    native.llamaInitContext.mockClear();
    await act(() => Promise.all([result.current.loadModel(), result.current.loadModel()]));
    await act(() => result.current.loadModel());
    expect(native.llamaInitContext).toHaveBeenCalledTimes(1);
  });

  it('lets go of a model that comes too late', async () => {
    const { result } = await hook({ ...CONFIG, loadTimeoutMs: 10 });
    native.llamaReleaseContext.mockClear();
    let arrive: (context: object) => void = () => undefined;
    native.llamaInitContext.mockImplementationOnce(() => new Promise((resolve) => (arrive = resolve)));
    await act(() => result.current.loadModel());
    expect(result.current.error).toMatchObject({ code: 'load-timeout' });
    await act(async () => {
      arrive({ gpu: false, devices: [], reasonNoGPU: '', model: {}, systemInfo: '' });
      await new Promise(setImmediate);
    });
    expect(native.llamaReleaseContext).toHaveBeenCalledTimes(1);
    expect(result.current.model).toBeNull();
  });

  it('unloads when the component goes away, and not when it is drawn again', async () => {
    const { result, rerender, unmount } = await loaded();
    native.llamaReleaseContext.mockClear();
    await rerender({ ...CONFIG });
    expect(native.llamaReleaseContext).not.toHaveBeenCalled();
    expect(result.current.model).toBeTruthy();
    await unmount();
    await new Promise(setImmediate);
    expect(native.llamaReleaseContext).toHaveBeenCalledTimes(1);
  });

  it('can load again after it was unloaded', async () => {
    const { result } = await loaded();
    await act(() => result.current.unloadModel());
    expect(result.current.model).toBeNull();
    await act(() => result.current.loadModel());
    expect(result.current.model).toBeTruthy();
  });
});
