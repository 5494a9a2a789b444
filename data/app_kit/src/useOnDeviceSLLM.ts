import { useCallback, useEffect, useMemo, useState } from 'react';
import { AppState } from 'react-native';
import { MANIFEST } from './manifest';
import { OnDeviceModel, SLLMError, type Generation, type SLLMConfig } from './onDeviceModel';

/**
 * A model on the phone as a hook. It unloads when the component goes away, and stops when the app
 * goes into the background, where iOS ends apps that use the GPU.
 *
 * `loadModel` never throws: `error` says what went wrong. `generate` and `generateText` throw
 * SLLMError and set `error` as well. `text` is what has been written so far.
 */
export function useOnDeviceSLLM(config: SLLMConfig) {
  const key = JSON.stringify(config);
  const device = useMemo(() => new OnDeviceModel(JSON.parse(key) as SLLMConfig), [key]);
  const [model, setModel] = useState<OnDeviceModel | null>(null);
  const [isLoading, setIsLoading] = useState(false);
  const [progress, setProgress] = useState(0);
  const [isGenerating, setIsGenerating] = useState(false);
  const [text, setText] = useState('');
  const [error, setError] = useState<SLLMError | null>(null);

  const loadModel = useCallback(async () => {
    setIsLoading(true);
    setError(null);
    try {
      await device.load(setProgress);
      warnAbove('loading', device.loadMilliseconds ?? 0, MANIFEST.targets.load_seconds);
      setModel(device);
    } catch (problem) {
      setError(problem as SLLMError);
    } finally {
      setIsLoading(false);
    }
  }, [device]);

  const generate = useCallback(
    async (prompt: string): Promise<Generation> => {
      setError(null);
      try {
        const written = device.generate(prompt, setText);
        setIsGenerating(true);
        setText('');
        const done = await written;
        warnAbove('the answer', done.milliseconds, MANIFEST.targets.report_seconds);
        return done;
      } catch (problem) {
        setError(problem as SLLMError);
        throw problem;
      } finally {
        setIsGenerating(device.isGenerating);
      }
    },
    [device],
  );

  const generateText = useCallback(async (prompt: string) => (await generate(prompt)).text, [generate]);
  const stop = useCallback(() => device.stop(), [device]);

  const unloadModel = useCallback(async () => {
    await device.unload();
    setModel(null);
  }, [device]);

  useEffect(() => {
    const watch = AppState.addEventListener('change', (state) => {
      if (state === 'background') void device.stop();
    });
    return () => {
      watch.remove();
      setModel(null);
      void device.unload();
    };
  }, [device]);

  return { model, isLoading, progress, isGenerating, text, error, loadModel, generate, generateText, stop, unloadModel };
}

function warnAbove(what: string, milliseconds: number, seconds: number): void {
  if (milliseconds > seconds * 1000) console.warn(`${what} took ${milliseconds} ms, the target is ${seconds} s`);
}
